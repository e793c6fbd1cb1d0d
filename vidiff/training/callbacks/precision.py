"""The precision of a run: said, warned of where it is slow, and kept when the run goes on."""

from __future__ import annotations

import logging
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from vidiff.precision import Choice, device_of, has_tf32, slowness

# Lightning advises GPUs' users to set what the trainer's matmul_precision is for.
logging.getLogger(rank_zero.__name__).addFilter(
    lambda record: "set_float32_matmul_precision" not in record.getMessage()
)

MatmulPrecision = Literal["auto", "highest", "high", "medium"]


class KeepPrecision(Callback):
    """Says which precision a run has and why, and holds it in checkpoints.

    ``VidiffTrainer`` adds it.

    Args:
        choice: what was chosen for this machine; None where a precision was asked for.
        asked: that one, as it was called.
        matmul: see ``VidiffTrainer``'s ``matmul_precision``.
    """

    def __init__(
        self, choice: Choice | None = None, asked: str | None = None,
        matmul: MatmulPrecision = "auto",
    ) -> None:  # fmt: skip
        self.choice, self.asked, self.matmul = choice, asked, matmul
        self.quiet = False
        """Whether nothing is said, as mixed precision is left off."""
        self.began: str | None = None
        """That of the checkpoint from which the run goes on."""
        self._precision, self._is_tf32 = "", False
        self._before: str | None = None

    @property
    def record(self) -> dict[str, str]:
        """For ``run.json``."""
        why = self.choice.why if self.choice else "as asked"
        if self.began is not None and self.began == self._precision:
            why = "as in the checkpoint"
        matmul: str = self.matmul  # not the setting now, which may be restored already
        if matmul == "auto":
            matmul = "high" if self._is_tf32 else torch.get_float32_matmul_precision()
        return {"precision_why": why, "matmul_precision": matmul}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._precision = str(trainer.precision)
        device = device_of(trainer.accelerator)
        self._is_tf32 = stage == "fit" and self.matmul == "auto" and has_tf32(device)
        if self.matmul != "auto":
            self._multiply(self.matmul)
        if self.quiet:
            return
        if self.choice is not None:
            rank_zero_info(f"precision: {self.choice}")
        if warning := slowness(self.asked or self._precision, device):
            rank_zero_warn(warning)

    def teardown(self, *args: Any, **kwargs: Any) -> None:
        self._restore()

    on_exception = teardown

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.began is None:
            return
        if self.began == self._precision:
            if self.choice is None:
                rank_zero_info(f"precision: {self._precision} (as in the checkpoint)")
            return
        rank_zero_warn(
            f"trainer.precision is {self._precision} from here on, and was {self.began} in the "
            f"checkpoint: set it to {self.began} to go on as before"
        )

    def on_train_batch_start(self, *args: Any) -> None:
        if self._is_tf32:  # and not in validation, whose scores `vidiff validate` gives again
            self._multiply("high")

    def on_train_batch_end(self, *args: Any) -> None:
        if self._is_tf32:
            self._restore()

    def _multiply(self, precision: str) -> None:
        if self._before is None:
            self._before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(precision)

    def _restore(self) -> None:
        if self._before is not None:
            torch.set_float32_matmul_precision(self._before)
            self._before = None

    def state_dict(self) -> dict[str, Any]:
        return {"precision": self._precision}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.began = state_dict["precision"] or None
