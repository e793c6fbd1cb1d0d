"""Fréchet video distance at infinitely many clips (after Chong & Forsyth 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidiff.evaluation_report import Score
from vidiff.registry import register
from vidiff_eval.features.i3d import I3D
from vidiff_eval.metrics.frechet import FrechetDistance
from vidiff_eval.statistics.extrapolation import PARTS, extrapolate, leave_out_extrapolation
from vidiff_eval.statistics.frechet import check_sides

if TYPE_CHECKING:
    from torch import Tensor


@register("fvd_infinity")
class FVDInfinity(FrechetDistance):
    """Fréchet video distance as it would be of infinitely many clips.

    From FVD of all clips, of halves and of quarters of both sides, by a straight line in 1/n. It
    holds where a quarter still has some hundreds of clips; of fewer it is too large. Noise can make
    it negative.

    Args:
        weights: path of I3D's weights; by default they are looked for, see the features ``i3d``.

    Example:
        >>> import torch
        >>> found = FVDInfinity().distance(torch.zeros(8, 400), torch.ones(8, 400))
        >>> round(found["fvd_infinity"], 6)
        400.0
    """

    min_clips = 8
    follows_from_moments = False  # but from distances of parts of the sets

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(I3D(weights=weights), "fvd_infinity")

    def distance(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        check_sides(len(real), len(generated), self.min_clips)
        return {"fvd_infinity": extrapolate(self._raw, real, generated)}

    def compare(self, real: Tensor, generated: Tensor) -> list[Score]:
        value = self.distance(real, generated)["fvd_infinity"]
        left_out = leave_out_extrapolation(self._raw, real, generated)
        smallest = min(len(real), len(generated)) // PARTS[-1]
        return [self._score(value, left_out, real, generated, clips_of_smallest_part=smallest)]

    def _raw(self, real: Tensor, generated: Tensor) -> float:
        return self.between(real, generated).raw
