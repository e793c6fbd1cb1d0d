"""Precision and recall by nearest neighbours (Kynkäänniemi et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidiff.evaluation_report import Score
from vidiff.registry import register
from vidiff_eval.features.i3d import I3D
from vidiff_eval.metrics.base import SetMetric
from vidiff_eval.statistics.neighbours import precision_and_recall

if TYPE_CHECKING:
    from torch import Tensor


@register("precision_recall")
class PrecisionRecall(SetMetric):
    """Precision and recall: shares of generated clips among real ones, and of real among generated.

    A clip is in a set if its I3D logits are no further from one of the set's than that one's k-th
    nearest neighbour there. Both depend on the number of clips, and on k.

    Args:
        num_neighbours: k.
        weights: path of I3D's weights; by default they are looked for, see the features ``i3d``.

    Raises:
        ValueError: unless k is at least 1.

    Example:
        >>> import torch
        >>> real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> generated = torch.tensor([[0.2], [0.4], [0.6], [0.8]])
        >>> PrecisionRecall(num_neighbours=1).distance(real, generated)
        {'precision': 1.0, 'recall': 0.5}
    """

    scores = ("precision", "recall")
    units = ("share", "share")
    limits = ((0.0, 1.0), (0.0, 1.0))
    higher_is_better = True
    depends_on_number = True
    has_floor = False  # real against real is no best value either, but a line to compare with

    def __init__(self, *, num_neighbours: int = 3, weights: str | None = None) -> None:
        if num_neighbours < 1:
            raise ValueError(f"num_neighbours must be at least 1, got {num_neighbours}")
        self.num_neighbours, self.min_clips = num_neighbours, num_neighbours + 1
        self.features = I3D(weights=weights)

    @property
    def settings(self) -> dict[str, Any]:
        return {"num_neighbours": self.num_neighbours, "features": self.features.settings}

    def distance(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        found = precision_and_recall(real, generated, self.num_neighbours, resample=False)
        return {name: value for name, (value, _) in zip(self.scores, found, strict=True)}

    def compare(self, real: Tensor, generated: Tensor) -> list[Score]:
        found = precision_and_recall(real, generated, self.num_neighbours)
        return [
            self._score(value, left_out, real, generated, name=name)
            for name, (value, left_out) in zip(self.scores, found, strict=True)
        ]
