"""Kernel video distance (Unterthiner et al. 2018, after KID, Bińkowski et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidiff.evaluation_report import Score
from vidiff.registry import register
from vidiff_eval.features.i3d import I3D
from vidiff_eval.metrics.base import SetMetric
from vidiff_eval.statistics.kernel import kernel_distance, leave_out_kernel

if TYPE_CHECKING:
    from torch import Tensor


@register("kvd")
class KVD(SetMetric):
    """Kernel video distance: as FVD, with no Gaussian assumed and no bias from few clips.

    The squared maximum mean discrepancy between I3D's logits, without bias, of the kernel
    (xᵀy / 400 + 1)³ over all pairs. Noise can make it negative where sets are alike.

    Args:
        weights: path of I3D's weights; by default they are looked for, see the features ``i3d``.

    Example:
        >>> import torch
        >>> KVD().distance(torch.zeros(2, 400), torch.ones(2, 400))  # 1 + (1 + 1)³ - 2
        {'kvd': 7.0}
    """

    scores = ("kvd",)
    higher_is_better = False

    def __init__(self, *, weights: str | None = None) -> None:
        self.features = I3D(weights=weights)

    @property
    def settings(self) -> dict[str, Any]:
        return {"kernel": "(x.y/d + 1)^3, unbiased", "features": self.features.settings}

    def distance(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        return {"kvd": kernel_distance(real, generated)}

    def compare(self, real: Tensor, generated: Tensor) -> list[Score]:
        value, left_out = leave_out_kernel(real, generated)
        return [self._score(value, left_out, real, generated)]
