"""Precision and recall of generated clips by nearest neighbours (Kynkäänniemi et al. 2019).

A set's manifold is the union of balls around its features, each as wide as the distance to its k-th
nearest neighbour. Precision is the share of generated features in the real manifold, recall that of
real ones in the generated manifold. Distances are made in chunks, never all at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vidiff_eval.statistics.frechet import check_sides
from vidiff_eval.statistics.resampling import LEAST, LeftOut, group

CHUNK = 1024
"""Rows of the matrix of distances that are held at once."""

NOISE = 1e-12
"""Squared distances below this part of the squared lengths are rounding: the same feature."""

Shares = tuple[float, "LeftOut | None"]


def precision_and_recall(
    real: Tensor, generated: Tensor, num_neighbours: int = 3, *, resample: bool = True
) -> tuple[Shares, Shares]:
    """Both, of features (n, d) and (m, d), in float64, with the shares without groups of clips.

    Args:
        real: features.
        generated: features.
        num_neighbours: k; a set needs more clips than that.
        resample: whether to leave groups out; None stands for them otherwise, and of too few clips.

    Raises:
        ValueError: if a side has too few clips; says which.

    Example:
        >>> real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> generated = torch.tensor([[0.2], [0.4], [0.6], [0.8]])
        >>> (precision, _), (recall, _) = precision_and_recall(real, generated, 1)
        >>> precision, recall
        (1.0, 0.5)
    """
    check_sides(len(real), len(generated), num_neighbours + 1)
    real, generated = real.double(), generated.double()
    # A set without one of its groups still has to hold k neighbours of each.
    resample = resample and min(len(real), len(generated)) >= max(LEAST, 2 * num_neighbours + 2)
    value, without_real, without_generated = _share(real, generated, num_neighbours, resample)
    precision = value, LeftOut(without_real, without_generated) if resample else None
    value, without_generated, without_real = _share(generated, real, num_neighbours, resample)
    return precision, (value, LeftOut(without_real, without_generated) if resample else None)


def _share(
    centres: Tensor, queries: Tensor, num_neighbours: int, resample: bool
) -> tuple[float, Tensor, Tensor]:
    """The share of queries in the manifold of centres; without groups of these, and of those."""
    number = int(group(len(centres)).max()) + 1 if resample else 0
    left_out = torch.zeros(number + 1, len(centres), dtype=torch.bool)  # first: none
    left_out[1:] = group(len(centres)) == torch.arange(number)[:, None]
    covered = _covered(queries, centres, _radii(centres, num_neighbours, left_out)).double()
    groups = group(len(queries))
    fewer = [covered[0, groups != number].mean() for number in groups.unique()]
    return covered[0].mean().item(), covered[1:].mean(1), torch.stack(fewer)


def _radii(points: Tensor, num_neighbours: int, left_out: Tensor) -> Tensor:
    """Squared distances (v, n) to each point's k-th nearest, without those of each mask (v, n).

    Those that are left out have -1, so that their balls hold nothing.
    """
    found = []
    for start, distances in _distances(points, points):
        rows = torch.arange(len(distances))
        distances[rows, start + rows] = torch.inf  # no point is its own neighbour
        nearest = distances.topk(num_neighbours, largest=False)
        radii = nearest.values[:, -1].repeat(len(left_out), 1)
        for radius, mask in zip(radii, left_out, strict=True):
            touched = mask[nearest.indices].any(1)
            others = distances[touched].masked_fill_(mask, torch.inf)
            radius[touched] = others.topk(num_neighbours, largest=False).values[:, -1]
        found.append(radii)
    return torch.cat(found, 1).masked_fill_(left_out, -1)


def _covered(queries: Tensor, centres: Tensor, radii: Tensor) -> Tensor:
    """Which queries (v, m) lie in a ball around a centre, for each row of squared radii (v, n)."""
    found = [
        torch.stack([(distances <= radius).any(1) for radius in radii])
        for _, distances in _distances(queries, centres)
    ]
    return torch.cat(found, 1)


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Where a chunk of rows of x starts, and their squared distances from all of y."""
    lengths = y.square().sum(1)
    for start in range(0, len(x), CHUNK):
        rows = x[start : start + CHUNK]
        scale = rows.square().sum(1, keepdim=True) + lengths
        squared = scale - 2 * rows @ y.T
        yield start, squared.masked_fill_(squared < NOISE * scale, 0.0)
