"""The kernel distance: squared maximum mean discrepancy without bias (Gretton et al. 2012, eq. 3).

With the polynomial kernel ``(xᵀy / d + 1)³`` that KID uses (Bińkowski et al. 2018). Over all pairs
at once: no random subsets, so no seed. Without bias, it can be negative.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff_eval.statistics.frechet import check_sides
from vidiff_eval.statistics.resampling import LEAST, LeftOut, group

CHUNK = 1024
"""Rows of the kernel matrix that are held at once."""


def kernel_distance(real: Tensor, generated: Tensor) -> float:
    """The distance between features (n, d) and (m, d), in float64.

    Raises:
        ValueError: if a side has fewer than two clips; says which.

    Example:
        >>> real, generated = torch.zeros(2, 1), torch.ones(2, 1)
        >>> kernel_distance(real, generated)  # 1 + (1 + 1)³ - 2
        7.0
    """
    check_sides(len(real), len(generated))
    one = (torch.zeros(len(side), dtype=torch.long) for side in (real, generated))
    return _Sums.of(real, generated, *one).distance().item()


def leave_out_kernel(real: Tensor, generated: Tensor) -> tuple[float, LeftOut | None]:
    """The same, and the distances without each group of clips, from the same kernel matrix.

    Raises:
        ValueError: if a side has fewer than two clips; says which.

    Example:
        >>> value, left_out = leave_out_kernel(torch.zeros(4, 1), torch.ones(4, 1))
        >>> value, left_out.real.tolist()
        (7.0, [7.0, 7.0, 7.0, 7.0])
    """
    if min(len(real), len(generated)) < LEAST:
        return kernel_distance(real, generated), None
    sums = _Sums.of(real, generated, group(len(real)), group(len(generated)))
    without_real = [sums.without(0, number) for number in range(len(sums.counts[0]))]
    without_generated = [sums.without(1, number) for number in range(len(sums.counts[1]))]
    left_out = LeftOut(torch.stack(without_real), torch.stack(without_generated))
    return sums.distance().item(), left_out


class _Sums:
    """Sums of the kernel over pairs, by the groups of both, no clip beside itself."""

    def __init__(self, counts: list[Tensor], within: list[Tensor], across: Tensor) -> None:
        self.counts, self.within, self.across = counts, within, across

    @classmethod
    def of(
        cls, real: Tensor, generated: Tensor, real_groups: Tensor, generated_groups: Tensor
    ) -> _Sums:
        sides = [real.double(), generated.double()]
        groups = [torch.nn.functional.one_hot(g).double() for g in (real_groups, generated_groups)]
        within = []
        for side, members in zip(sides, groups, strict=True):
            itself = (side.square().sum(1) / side.shape[1] + 1) ** 3
            pairs = _sums(side, side, members, members)
            within.append(pairs - torch.diag(members.T @ itself))
        return cls([members.sum(0) for members in groups], within, _sums(*sides, *groups))

    def distance(self) -> Tensor:
        n, m = (count.sum() for count in self.counts)
        real, generated = (pairs.sum() for pairs in self.within)
        across = self.across.sum() / (n * m)
        return real / (n * (n - 1)) + generated / (m * (m - 1)) - 2 * across

    def without(self, side: int, number: int) -> Tensor:
        counts, within = list(self.counts), list(self.within)
        keep = torch.arange(len(counts[side])) != number
        counts[side], within[side] = counts[side][keep], within[side][keep][:, keep]
        across = self.across[:, keep] if side else self.across[keep]
        return _Sums(counts, within, across).distance()


def _sums(x: Tensor, y: Tensor, x_groups: Tensor, y_groups: Tensor) -> Tensor:
    """Sums of the kernel (g, h) over pairs of clips; groups are one-hot (n, g) and (m, h)."""
    total = x.new_zeros(x_groups.shape[1], y_groups.shape[1])
    for rows, members in zip(x.split(CHUNK), x_groups.split(CHUNK), strict=True):
        kernel = (rows @ y.T / x.shape[1] + 1) ** 3
        total += members.T @ kernel @ y_groups
    return total
