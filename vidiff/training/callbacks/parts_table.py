"""The table of a model's parts that stands at the beginning of training."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from vidiff.formatting import columns, large
from vidiff.training.task import each_part


class PartsTable(ModelSummary):
    """Shows each part of the model: its class, parameters, and how many of them are trained.

    The moving average is a copy of what is trained, and is not counted.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rank_zero_info(parts_table(pl_module))


def parts_table(task: LightningModule) -> str:
    """The table as text."""
    rows = [("part", "class", "parameters", "trained")]
    total = trained = 0
    children = {name: part for name, part in task.named_children() if name != "ema"}
    for name, part in each_part(children).items():
        sizes = [(p.numel(), p.numel() * p.requires_grad) for p in part.parameters()]
        count, learns = (sum(column) for column in zip(*sizes, strict=True)) if sizes else (0, 0)
        rows.append((name, type(part).__name__, large(count), large(learns)))
        total, trained = total + count, trained + learns
    rows.append(("together", "", large(total), large(trained)))
    return "\n".join(columns(rows, right=(2, 3)))
