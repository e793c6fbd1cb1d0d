"""What all Fréchet distances share, whatever features they compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidiff.evaluation_report import Score
from vidiff_eval.features.base import Features
from vidiff_eval.metrics.base import SetMetric
from vidiff_eval.statistics.frechet import Distance, check_sides, frechet
from vidiff_eval.statistics.frechet_left_out import leave_out_frechet

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff_eval.protocols.protocol import Covariance, Protocol


class FrechetDistance(SetMetric):
    """The squared Fréchet distance between Gaussians fitted to features of both sides.

    Features (n, f, d) count as n f features, of which those of one clip belong together.
    The interval is the jackknife's, on a log scale: it covers what as many other clips would give.
    """

    higher_is_better = False
    depends_on_number = True
    follows_from_moments = True
    covariance: Covariance = "n-1"

    def __init__(self, features: Features, score: str) -> None:
        self.features = features
        self.scores = (score,)

    @property
    def settings(self) -> dict[str, Any]:
        return {"covariance": self.covariance, "features": self.features.settings}

    def follow(self, protocol: Protocol) -> None:
        super().follow(protocol)
        self.covariance = protocol.covariance

    def distance(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        check_sides(len(real), len(generated), self.min_clips)
        return {self.scores[0]: self.between(real, generated).value}

    def compare(self, real: Tensor, generated: Tensor) -> list[Score]:
        check_sides(len(real), len(generated), self.min_clips)
        found = self.between(real, generated)
        left_out = leave_out_frechet(real, generated, self.covariance)
        return [self._score(found.value, left_out, real, generated, scale="log", raw=found.raw)]

    def between(self, real: Tensor, generated: Tensor) -> Distance:
        """The distance of all features, before and after it is cut at zero."""
        one, other = (side.reshape(-1, side.shape[-1]) for side in (real, generated))
        return frechet(one, other, self.covariance)
