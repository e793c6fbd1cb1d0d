"""What all tasks share: parts, their moving average, the learning rate, and reproducible steps."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from vidiff.checks import at_least, within
from vidiff.config_nodes import describe
from vidiff.optimizers import MakeOptimizer, MuonAdamW
from vidiff.registry import class_path
from vidiff.seeds import global_seed, mix
from vidiff.training.guard import FiniteGuard, Guard
from vidiff.training.parts import each_part
from vidiff.training.processes import local, shard, unite, united_buffers
from vidiff.training.starting import Start, take_weights
from vidiff.types import Batch


class Task(LightningModule, ABC):
    """A model in training.

    Parts are built late, in ``configure_model``, so that a config is checked before anything is
    built and a strategy can shard what is built. What a step draws depends only on the seed (that
    of ``seed_everything``), the epoch, the batch and the process, so a resumed run repeats what an
    uninterrupted one would do.

    Args:
        optimizer: which rule updates which parameter.
        warmup_steps: steps over which the learning rate rises linearly from zero.
        decay_fraction: last share of all steps, over which it falls linearly.
        final_lr_fraction: where it falls to, over its peak.
        ema_decay: of the moving average of the weights; 0 keeps none. Early on the average is
            shorter: its decay is at most (1 + step) / (10 + step).

    Raises:
        ValueError: if a number is out of its range.
    """

    ema: nn.ModuleDict | None
    parts_built = False
    start: Start | None = None
    """The weights that training begins from, instead of those that are drawn."""

    def __init__(
        self,
        *,
        optimizer: MakeOptimizer = MuonAdamW,
        warmup_steps: int = 50,
        decay_fraction: float = 0.4,
        final_lr_fraction: float = 0.02,
        ema_decay: float = 0.998,
    ) -> None:
        super().__init__()
        within(0, 1, decay_fraction=decay_fraction, final_lr_fraction=final_lr_fraction)
        at_least(0, warmup_steps=warmup_steps)
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay must be at least 0 and below 1, got {ema_decay}")
        self.make_optimizer = optimizer
        self.warmup_steps, self.decay_fraction = warmup_steps, decay_fraction
        self.final_lr_fraction, self.ema_decay = final_lr_fraction, ema_decay
        self.seed = global_seed()
        self.guards: list[Guard] = [FiniteGuard()]
        self.last_loss: Tensor | None = None
        """The last step's loss, on its device: the progress bar reads it now and then."""
        self.ema = None

    @abstractmethod
    def build_parts(self) -> None:
        """Build every part and assign it to the task."""

    @abstractmethod
    def trained_parts(self) -> dict[str, nn.Module]:
        """The parts that are trained, by attribute name, once they are built."""

    @abstractmethod
    def count_flops(self, batch: Batch) -> int:
        """Floating-point operations of one training step, a multiply-add counted as two.

        The backward pass of what is trained counts twice its forward pass.
        """

    def tokens_per_clip(self, batch: Batch) -> int:
        """Tokens of one clip of the batch; 0 where there are none."""
        return 0

    def logged(self) -> frozenset[str] | None:
        """Names of the values that are logged, by which ablations check theirs; None if unknown."""
        return None

    # -- Parts ----------------------------------------------------------------------------------

    def configure_model(self) -> None:
        if self.parts_built:
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.build_parts()
        if self.start is not None:
            taken = take_weights(self, self.start).lines()
            rank_zero_info("\n  ".join([f"begins from {self.start.checkpoint}", *taken]))
        if self.ema_decay:
            self.ema = nn.ModuleDict(copy.deepcopy(self.trained_parts())).requires_grad_(False)
        # DDP would put those of the first process in the place of the others' in each step.
        self._ddp_params_and_buffers_to_ignore = [
            *getattr(self, "_ddp_params_and_buffers_to_ignore", ()), *united_buffers(self)
        ]  # fmt: skip
        if self.device_mesh is not None:
            for parts in (self.trained_parts(), dict(self.ema or {})):
                for part in each_part(parts).values():
                    shard(part, self.device_mesh)
        self.parts_built = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Task:
        """Switch the trained parts; frozen ones and the moving average stay in evaluation mode."""
        super().train(False)
        self.training = mode
        for part in self.trained_parts().values() if self.parts_built else ():
            part.train(mode)
        return self

    @contextmanager
    def averaged(self) -> Iterator[Any]:
        """The trained parts with averaged weights if there are any, in evaluation mode."""
        if self.ema is not None:
            yield dict(self.ema.items())
            return
        parts, was_training = self.trained_parts(), self.training
        self.train(False)
        try:
            yield parts
        finally:
            self.train(was_training)

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        """Move the average towards the weights; buffers are copied."""
        assert self.ema is not None
        decay = min(self.ema_decay, (1 + step) / (10 + step))
        parts = self.trained_parts()
        pairs = [(average, parts[name]) for name, average in self.ema.items()]
        averages: list[Tensor] = [p for average, _ in pairs for p in average.parameters()]
        weights: list[Tensor] = [p for _, part in pairs for p in part.parameters()]
        torch._foreach_lerp_(averages, weights, 1 - decay)
        for average, part in pairs:
            for old, new in zip(average.buffers(), part.buffers(), strict=True):
                old.copy_(new)

    # -- Steps ----------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed(mix(self.seed, self.current_epoch, batch_idx, self.global_rank))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        step = self.global_step
        super().optimizer_step(*args, **kwargs)
        if self.ema is not None:
            self.update_average(step)

    def finish_step(self, terms: dict[str, Tensor], batch_size: int) -> None:
        """Log the terms of this step's loss, and stop soon after one that is not finite."""
        for name, term in terms.items():
            self.log(f"train/{name}", term.detach(), batch_size=batch_size)
        # Lightning reads what is logged for its bar at each step, which waits for the device.
        self.last_loss = terms["loss"].detach() if "loss" in terms else None
        self.watch(terms)
        interval = self.trainer.log_every_n_steps or 50  # type: ignore[attr-defined]
        if self.global_step % interval == 0:
            self.check_guards()

    def log_measured(self, values: Mapping[str, Tensor], batch_size: int) -> None:
        """Log the mean over the clips of all batches and processes."""
        # Lightning averages batch sizes over processes in integers: made to divide, they are exact.
        weight = batch_size * self.trainer.world_size
        self.log_dict(values, batch_size=weight, sync_dist=True, on_epoch=True)

    def watch(self, terms: dict[str, Tensor]) -> None:
        """Let the guards see scalars of this step."""
        for guard in self.guards:
            guard.watch(self.global_step, terms)

    def check_guards(self) -> bool:
        """Ask the guards, on all processes together; see ``Guard.check``."""
        return all(guard.check(self.trainer.strategy.reduce) for guard in self.guards)

    def on_train_end(self) -> None:
        unite(united_buffers(self), self.trainer.strategy.reduce)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        buffers = united_buffers(self)
        unite(buffers, self.trainer.strategy.reduce)
        for name in buffers.keys() & checkpoint["state_dict"].keys():
            checkpoint["state_dict"][name].copy_(buffers[name])  # where it was a copy
        # The last step's loss may have been finite, and its update not.
        trained = [local(p.detach()) for p in self.parameters() if p.requires_grad]
        norms = [norm.float() for norm in torch._foreach_norm(trained)]
        self.watch({"a weight": torch.stack(norms).sum()})
        self.check_guards()

    # -- Optimizer --------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.make_optimizer().build(list(self.trained_parts().values()))
        schedule = LambdaLR(optimizer, self.lr_schedule())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def lr_schedule(self) -> Callable[[int], float]:
        """The learning rate over its peak, by step; ``ValueError`` if the run has no end."""
        num_steps = self.trainer.estimated_stepping_batches if self.decay_fraction else 0
        if num_steps == float("inf"):
            raise ValueError(
                f"decay_fraction={self.decay_fraction} needs to know where training ends: set "
                "trainer.max_steps or trainer.max_epochs, or decay_fraction to 0"
            )
        return lambda step: trapezoid(
            step, int(num_steps), self.warmup_steps, self.decay_fraction, self.final_lr_fraction
        )

    def save_factories(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the constructor's arguments as nodes, so that a checkpoint rebuilds the task.

        A subclass with arguments of its own calls this with ``locals()``, straight after
        ``super().__init__``; the arguments are returned.
        """
        arguments = {k: v for k, v in given.items() if k not in ("self", "__class__")}
        nodes: dict[str, Any] = {}
        for name, value in arguments.items():
            try:
                nodes[name] = describe(value)
            except TypeError:
                nodes[name] = {"class_path": None, "described": repr(value)}
        nodes["_class_path"] = class_path(type(self))
        nodes["_instantiator"] = "lightning.pytorch.cli.instantiate_module"
        self.save_hyperparameters(nodes)
        return arguments


def trapezoid(step: int, num_steps: int, warmup: int, decay: float, final: float) -> float:
    """Rise over ``warmup`` steps, stay at 1, fall to ``final`` over the last share ``decay``."""
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    if not decay:
        return rise
    left = (num_steps - step) / (num_steps * decay)
    return rise * max(final, min(1.0, left))
