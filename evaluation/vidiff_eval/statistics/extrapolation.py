"""Distances of infinitely many clips, from how they fall with the number of clips.

A Fréchet distance of finite sets is too large by about a/n + b/m (Chong & Forsyth 2020, who call
the limit FID∞, and shrink the generated set alone). Here *both* sets are split into 1, 2 and 4
disjoint parts, the distances of parts averaged, and a straight line in the number of parts, that is
in 1/n, fitted by least squares: it meets infinitely many clips at zero. It is straight for parts
that hold about as many clips as features have dimensions that matter; with far fewer, it bends, and
the limit is overestimated.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vidiff_eval.statistics.resampling import LEAST, LeftOut, group

PARTS = (1, 2, 4)
"""Numbers of disjoint parts that either set is split into."""

Distance = Callable[[Tensor, Tensor], float]


def extrapolate(distance: Distance, real: Tensor, generated: Tensor) -> float:
    """The limit of ``distance`` between features (n, d) and (m, d); it can be negative.

    Raises:
        ValueError: if a part would hold fewer than two clips; says which side.

    Example:
        >>> def biased(real, generated):  # 3, and 8/n for n clips of each side
        ...     return 3 + 8 / len(real)
        >>> round(extrapolate(biased, torch.zeros(16, 2), torch.zeros(16, 2)), 6)
        3.0
    """
    return _limit(distance, real, generated, *_places(real, generated))


def leave_out_extrapolation(distance: Distance, real: Tensor, generated: Tensor) -> LeftOut | None:
    """The limits without each group of clips; the others stay in their parts. None of too few.

    Example:
        >>> def constant(real, generated):
        ...     return 3.0
        >>> left_out = leave_out_extrapolation(constant, torch.zeros(16, 2), torch.zeros(20, 2))
        >>> left_out.method, round(left_out.real.mean().item(), 6)
        ('jackknife over 16 and 20 groups of clips', 3.0)
    """
    fewest = min(len(real), len(generated))
    if fewest < LEAST * PARTS[-1]:
        return None
    sides, places, found = [real, generated], _places(real, generated), []
    for side in (0, 1):
        # Groups are drawn apart from parts, so that each takes a little of every part.
        groups = group(len(sides[side]), seed=1)
        limits = []
        for number in groups.unique():
            keep = [torch.ones(len(one), dtype=torch.bool) for one in sides]
            keep[side] = groups != number
            left = [one[mask] for one, mask in zip([*sides, *places], keep * 2, strict=True)]
            limits.append(_limit(distance, *left))
        found.append(torch.tensor(limits, dtype=torch.float64))
    return LeftOut(*found)


def _places(*sides: Tensor) -> list[Tensor]:
    """Each clip's place in [0, 1), at random: a k-th of them is a part."""
    return [group(len(side), len(side)).double() / len(side) for side in sides]


def _limit(
    distance: Distance, real: Tensor, generated: Tensor, place: Tensor, other_place: Tensor
) -> float:
    means = []
    for number in PARTS:
        parts = (place * number).long(), (other_place * number).long()
        found = [distance(real[parts[0] == k], generated[parts[1] == k]) for k in range(number)]
        means.append(sum(found) / number)
    # Least squares of a + b k; its value at k = 0.
    design = torch.tensor([[1.0, float(number)] for number in PARTS], dtype=torch.float64)
    values = torch.tensor(means, dtype=torch.float64)[:, None]
    return torch.linalg.lstsq(design, values).solution[0].item()
