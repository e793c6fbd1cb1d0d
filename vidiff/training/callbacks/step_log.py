"""What else a step's log says: learning rate, gradient norm, time spent waiting for data."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from vidiff.cores import available_cores
from vidiff.training.data import VideoDataModule
from vidiff.training.loggers import is_due
from vidiff.training.workers import own_cores

log = logging.getLogger(__name__)

NUM_LOGS = 100
"""At least so many points a curve has, where nobody says how often to log."""

LEAST_SHARE = 0.2
"""Of the time spent waiting for data, from which on a hint is given."""

LEAST_STEPS = 20
"""Steps that a hint is based on."""


class StepLog(Callback):
    """Logs the learning rate, the norm of the gradient, and the share of time waiting for data.

    The norm is that before clipping. All are logged as often as the loss, and measured only then:
    no step waits for the device. Time is this process's, without validation. A hint is given once
    where data are too slow. By default a run logs every 50 steps, and at least a hundred times.
    """

    def __init__(self) -> None:
        self._norm: Tensor | None = None
        self._hinted, self._paused = False, 0.0
        self._reset()

    def _reset(self) -> None:
        self._since: tuple[int, float, float] | None = None
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if getattr(trainer, "chooses_log_interval", False):
            num_steps = trainer.estimated_stepping_batches
            trainer.log_every_n_steps = log_interval(num_steps)  # type: ignore[attr-defined]
        self._reset()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if is_due(trainer, trainer.global_step + 1):
            self._norm = gradient_norm(optimizer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if not is_due(trainer, trainer.global_step):
            return
        values: dict[str, Any] = learning_rates(trainer.optimizers)
        if self._norm is not None:
            values["optimizer/gradient_norm"], self._norm = self._norm, None
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, VideoDataModule):
            share = self._look(trainer.global_step, data.seconds_waited)
            if share is not None:
                values["throughput/waiting_for_data"] = share
                self._hint(trainer, data)
        pl_module.log_dict(values)

    def on_validation_start(self, *args: Any) -> None:
        self._paused = time.monotonic()

    def on_validation_end(self, *args: Any) -> None:
        if self._since is not None:
            step, began, waited = self._since
            self._since = step, began + time.monotonic() - self._paused, waited

    def _look(self, step: int, waited: float) -> float | None:
        """The share since the last look; None for the first stretch, which warms up."""
        before, self._since = self._since, (step, time.monotonic(), waited)
        if before is None or step == before[0]:
            return None
        steps, seconds, waits = (now - then for now, then in zip(self._since, before, strict=True))
        self._steps += int(steps)
        self._seconds += seconds
        self._waited += waits
        return min(1.0, waits / max(seconds, 1e-9))

    def _hint(self, trainer: Trainer, data: VideoDataModule) -> None:
        share = self._waited / max(self._seconds, 1e-9)
        if self._hinted or self._steps < LEAST_STEPS or share < LEAST_SHARE:
            return
        self._hinted = True
        if trainer.is_global_zero:
            on_cpu = trainer.strategy.root_device.type == "cpu"
            cores = available_cores() if on_cpu else own_cores(trainer)
            log.warning(hint(share, data.workers.number, cores))


def log_interval(num_steps: float) -> int:
    """Steps between two logs."""
    return int(min(50, max(1, num_steps / NUM_LOGS)))


def learning_rates(optimizers: list[Optimizer]) -> dict[str, float]:
    """The learning rates now; groups of the same peak share one."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rates = {float(group.get("initial_lr", group["lr"])): float(group["lr"]) for group in groups}
    names = ["optimizer/learning_rate", *(f"optimizer/learning_rate_{k + 2}" for k in range(99))]
    return dict(zip(names, rates.values(), strict=False))


@torch.no_grad()
def gradient_norm(optimizer: Optimizer) -> Tensor:
    """The norm of all gradients together, of all parts of a sharded model; stays on its device."""
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def hint(share: float, workers: int, cores: int) -> str:
    """What to do where training waits for data this share of the time, by workers and cores."""
    said = f"training waits for data {100 * share:.0f} % of the time with {workers} workers: "
    # One batch is made in the time of w steps, w being the workers, or in the waiting alone.
    needed = math.ceil((workers or share) / max(1 - share, 0.01) - 1e-6)
    to_try = min(needed, cores - 1)
    if to_try > workers:
        return f"{said}try --data.num_workers {to_try}"
    return (
        f"{said}its cores are in use ({cores}), so make batches cheaper: store the clips at the "
        "size of training, or encode them once (vidiff encode)"
    )
