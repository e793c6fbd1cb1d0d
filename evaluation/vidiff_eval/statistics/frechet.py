"""The Fréchet distance between Gaussians fitted to two sets of features (Dowson & Landau 1982).

    |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1^½ S2 S1^½)^½

The last trace, the *overlap*, is found in one of three ways; nothing ever becomes complex:

- With fewer features than dimensions, it is the nuclear norm (the sum of singular values) of the
  products of centred features: ``Xc Ycᵀ``, both divided by the root of n - 1.
- Otherwise it is the sum of the roots of the eigenvalues of ``Lᵀ S2 L``, where ``S1 = L Lᵀ``
  (Cholesky): that matrix is similar to ``S1 S2``, and symmetric.
- If either covariance is so near to singular that rounding would show in that sum, it is the
  nuclear norm of the product of the covariances' symmetric roots.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vidiff_eval.protocols.protocol import Covariance

BLOCK = 128
"""Columns that products of which one half is known are made by."""

ROWS = 2048
"""Features that are held in float64 at once."""

TOLERANCE = 1e-8
"""Part of the overlap that rounding may cost before the slower way is taken."""


@dataclass(frozen=True)
class Distance:
    """A squared Fréchet distance.

    Attributes:
        raw: as computed; rounding can leave it a little below zero where sets are equal.
    """

    raw: float

    @property
    def value(self) -> float:
        """The distance, which is never negative."""
        return max(self.raw, 0.0)


@dataclass(frozen=True)
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
        outer = features.new_zeros(features.shape[1], features.shape[1])
        _add_outer(outer, features)
        return cls(features.new_full((), len(features)), features.sum(0), _mirrored(outer))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.sum + other.sum, self.outer + other.outer)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.count - other.count, self.sum - other.sum, self.outer - other.outer)

    def gaussian(self, covariance: Covariance = "n-1") -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), the scatter divided by n - 1 or n.

        One feature has no covariance: zero.

        Raises:
            ValueError: if there is no feature.
        """
        if self.count < 1:
            raise ValueError("there is no feature to take a mean of")
        mean = self.sum / self.count
        scatter = self.outer - self.count * torch.outer(mean, mean)
        return mean, scatter / (self.count - freedom(covariance)).clamp(min=1)


def freedom(covariance: Covariance) -> int:
    """What is taken off n where the scatter is divided by it.

    Example:
        >>> freedom("n-1"), freedom("n")
        (1, 0)
    """
    return 1 if covariance == "n-1" else 0


def frechet(real: Tensor, generated: Tensor, covariance: Covariance = "n-1") -> Distance:
    """The squared Fréchet distance between features (n, d) and (m, d), in float64.

    With fewer features than dimensions it is biased upwards, far more so than else.

    Raises:
        ValueError: if a side has fewer than two features; says which.

    Example:
        >>> real = torch.tensor([[-1.0], [1.0]])  # of variance 2
        >>> frechet(real, 2 * real + 3).raw  # 3² + (2√2 - √2)²
        11.0
    """
    check_sides(len(real), len(generated))
    if min(len(real), len(generated)) < real.shape[1]:
        (mean1, rows1), (mean2, rows2) = _rows(real, covariance), _rows(generated, covariance)
        spread = rows1.square().sum() + rows2.square().sum()
        overlap = torch.linalg.svdvals(rows1 @ rows2.T).sum()
    else:
        (mean1, cov1), (mean2, cov2) = _fit(real, covariance), _fit(generated, covariance)
        spread, overlap = cov1.trace() + cov2.trace(), overlap_of(cov1, cov2)
    return _distance(mean1, mean2, spread, overlap)


def frechet_of_moments(
    real: Moments, generated: Moments, covariance: Covariance = "n-1"
) -> Distance:
    """The same from sums over features, whose memory does not grow with their number.

    Raises:
        ValueError: if a side has fewer than two features; says which.

    Example:
        >>> real = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        >>> round(frechet_of_moments(Moments.of(real), Moments.of(2 * real + 3)).value, 6)
        11.0
    """
    check_sides(int(real.count), int(generated.count))
    (mean1, cov1), (mean2, cov2) = real.gaussian(covariance), generated.gaussian(covariance)
    return _distance(mean1, mean2, cov1.trace() + cov2.trace(), overlap_of(cov1, cov2))


def overlap_of(cov1: Tensor, cov2: Tensor) -> Tensor:
    """The trace of ``(S1^½ S2 S1^½)^½`` for covariances (d, d) of any rank, a scalar.

    Example:
        >>> overlap_of(4 * torch.eye(2), 9 * torch.eye(2)).item()  # √4 √9 for each dimension
        12.0
    """
    lower, failed = torch.linalg.cholesky_ex(cov1)
    if not failed:
        values = torch.linalg.eigvalsh(_congruent(lower, cov2))
        roots = values.clamp(min=0).sqrt()
        # An eigenvalue is off by about eps times the largest, and its root so much the more.
        rounding = torch.finfo(values.dtype).eps * values[-1] / (2 * roots)
        if rounding.norm() < TOLERANCE * roots.sum():
            return roots.sum()
    return torch.linalg.svdvals(root(cov1) @ root(cov2)).sum()


def root(covariance: Tensor) -> Tensor:
    """The symmetric root (d, d); directions that are only rounding are left out.

    Example:
        >>> root(torch.tensor([[4.0, 0.0], [0.0, 9.0]]))
        tensor([[2., 0.],
                [0., 3.]])
    """
    values, vectors = torch.linalg.eigh(covariance)
    noise = len(values) * torch.finfo(values.dtype).eps * values[-1].abs()
    return vectors * values.where(values > noise, 0.0).sqrt() @ vectors.T


def check_sides(num_real: int, num_generated: int, least: int = 2) -> None:
    """Raise a ``ValueError`` if a side is too small, saying which.

    Example:
        >>> check_sides(2, 2)
        >>> check_sides(2, 1)
        Traceback (most recent call last):
        ValueError: the generated side is too small: there is one clip, and this distance needs...
    """
    for side, count in (("real", num_real), ("generated", num_generated)):
        if count < least:
            have = "is no clip" if count == 0 else "is one clip" if count == 1 else f"are {count}"
            raise ValueError(
                f"the {side} side is too small: there {have}, and this distance needs at least "
                f"{least} of each side, as one has no spread; better hundreds"
            )


def _distance(mean1: Tensor, mean2: Tensor, spread: Tensor, overlap: Tensor) -> Distance:
    return Distance(((mean1 - mean2).square().sum() + spread - 2 * overlap).item())


def _rows(features: Tensor, covariance: Covariance) -> tuple[Tensor, Tensor]:
    """Their mean, and rows (n, d) whose sum of outer products is their covariance."""
    mean = features.double().mean(0)
    return mean, (features - mean) / sqrt(len(features) - freedom(covariance))


def _fit(features: Tensor, covariance: Covariance) -> tuple[Tensor, Tensor]:
    """Their mean and covariance, in float64, from sums around a point that is near the mean."""
    near = features.mean(0).double()
    total, outer = torch.zeros_like(near), near.new_zeros(len(near), len(near))
    for part in features.split(ROWS):
        rows = part.to(near.dtype, copy=True).sub_(near)
        total += rows.sum(0)
        _add_outer(outer, rows)
    moments = Moments(near.new_full((), len(features)), total, _mirrored(outer))
    mean, scatter = moments.gaussian(covariance)
    return near + mean, scatter


def _add_outer(upper: Tensor, features: Tensor) -> None:
    """Add the sum of outer products of features (n, d) to the upper triangle of (d, d)."""
    for start in range(0, len(upper), BLOCK):
        end = start + BLOCK
        upper[start:end, start:].addmm_(features[:, start:end].T, features[:, start:])


def _mirrored(upper: Tensor) -> Tensor:
    """The same matrix, with its upper triangle as the lower one too."""
    for start in range(0, len(upper), BLOCK):
        end = start + BLOCK
        upper[end:, start:end] = upper[start:end, end:].T
    return upper


def _congruent(lower: Tensor, covariance: Tensor) -> Tensor:
    """``Lᵀ S L`` for a lower triangle L; only its own lower triangle is filled in."""
    product = torch.zeros_like(covariance)
    for start in range(0, len(product), BLOCK):
        end = start + BLOCK
        columns = covariance[start:, start:] @ lower[start:, start:end]
        product[start:, start:end] = lower[start:, start:].T @ columns
    return product
