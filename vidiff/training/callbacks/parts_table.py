"""The table of a model's parts that stands at the beginning of training."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from vidiff.formatting import columns, large
from vidiff.training.parts import Parameters, each_part, parts_of


class PartsTable(ModelSummary):
    """Shows each part of the model: its class, parameters, and how many of them are trained.

    The moving average is a copy of what is trained, and is not counted.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rank_zero_info(parts_table(pl_module))


def parts_table(task: LightningModule) -> str:
    """The table as text."""
    rows = [("part", "class", "parameters", "trained")]
    parts = each_part(parts_of(task))
    counts = {name: Parameters.of(part) for name, part in parts.items()}
    for name, count in counts.items():
        cls = type(parts[name]).__name__
        rows.append((name, cls, large(count.total), large(count.trained)))
    total = sum(count.total for count in counts.values())
    trained = sum(count.trained for count in counts.values())
    rows.append(("together", "", large(total), large(trained)))
    return "\n".join(columns(rows, right=(2, 3)))
