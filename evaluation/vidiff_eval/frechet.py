"""The Fréchet distance between Gaussians fitted to two sets of features (Dowson & Landau 1982)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Moments:
    """Sums over n features, from which their mean and covariance follow; sums of sums are sums.

    Attributes:
        count: n, a scalar.
        sum: (d,).
        outer: sum of outer products (d, d).
    """

    count: Tensor
    sum: Tensor
    outer: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """The sums of features (n, d), in their type, which had better be float64."""
        count = features.new_full((), len(features))
        return cls(count, features.sum(0), features.T @ features)

    def gaussian(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), divided by n - 1; one feature has no covariance: zero.

        Raises:
            ValueError: if there is no feature.
        """
        if self.count < 1:
            raise ValueError("there is no feature to take a mean of")
        mean = self.sum / self.count
        scatter = self.outer - self.count * torch.outer(mean, mean)
        return mean, scatter / (self.count - 1).clamp(min=1)


def frechet_distance(one: Moments, other: Moments) -> Tensor:
    """The squared Fréchet (Wasserstein-2) distance between two sets of features, a scalar.

        |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1^½ S2 S1^½)^½

    The last trace is the sum of the singular values of S1^½ S2^½: nothing becomes complex, and
    covariances may be of any rank. With fewer features than dimensions the distance is biased
    upwards.

    Raises:
        ValueError: if a set has no feature.
    """
    (mean1, cov1), (mean2, cov2) = one.gaussian(), other.gaussian()
    overlap = torch.linalg.svdvals(_root(cov1) @ _root(cov2)).sum()
    distance = (mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * overlap
    return distance.clamp(min=0)  # rounding may leave equal sets a little below


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root (d, d); directions that are only rounding are left out."""
    values, vectors = torch.linalg.eigh(covariance)
    noise = len(values) * torch.finfo(values.dtype).eps * values[-1].abs()
    return vectors @ torch.diag(values.where(values > noise, 0.0).sqrt()) @ vectors.T
