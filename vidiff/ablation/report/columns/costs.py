"""What a run of a cell takes: counted before training, and measured over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidiff.ablation.report.columns.base import Column
from vidiff.formatting import duration, large
from vidiff.registry import register

if TYPE_CHECKING:
    from vidiff.ablation.judge.schema import CellResult, Results


class Count(Column):
    """A large number, with three digits."""

    def text(self, value: float) -> str:
        return large(value, 3)


@register("parameters")
class Parameters(Count):
    """Trained parameters."""

    title = "parameters"

    def value(self, cell: CellResult) -> float | None:
        return cell.costs.parameters


@register("flops_per_step")
class FlopsPerStep(Count):
    """FLOPs of a training step with its optimizer, a multiply-add counted as two."""

    title = "FLOPs/step"

    def value(self, cell: CellResult) -> float | None:
        return cell.costs.flops_per_step


@register("steps")
class Steps(Column):
    """Training steps."""

    title = "steps"

    def value(self, cell: CellResult) -> float | None:
        return cell.costs.steps

    def text(self, value: float) -> str:
        return f"{value:,}"


@register("flops")
class Flops(Count):
    """FLOPs of the whole training."""

    title = "FLOPs"

    def value(self, cell: CellResult) -> float | None:
        return cell.costs.flops


@register("step_time")
class StepTime(Column):
    """Median seconds of a step without validation, as the machine was then."""

    title = "step"

    def value(self, cell: CellResult) -> float | None:
        return cell.costs.seconds_per_step

    def text(self, value: float) -> str:
        return f"{value:.3f} s"


@register("training_time")
class TrainingTime(Column):
    """Time of the training, validation included."""

    title = "training"

    def value(self, cell: CellResult) -> float | None:
        return cell.costs.seconds

    def text(self, value: float) -> str:
        return duration(value)


@register("memory")
class Memory(Column):
    """Peak memory of the GPU, or of the process."""

    title = "memory"

    def value(self, cell: CellResult) -> float | None:
        return cell.costs.memory_bytes

    def text(self, value: float) -> str:
        return f"{value / 2**30:.2f} GiB"

    def note(self, results: Results) -> str:
        return f"of the {results.cells[0].costs.memory_of}"
