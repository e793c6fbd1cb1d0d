"""Condition dropout, which classifier-free guidance needs (Ho & Salimans 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vidiff.registry import nearest

TOGETHER = "all"
"""The key under which all conditions of a clip are dropped together."""


class Dropout:
    """Draws which clips lose which condition.

    Args:
        shares: of clips: for each condition by itself, or by the condition's name, where those that
            are not named are never dropped; ``all`` drops all of a clip's conditions together.

    Raises:
        ValueError: if a share is outside [0, 1], or a name is not known.
    """

    def __init__(self, shares: float | Mapping[str, float], names: Sequence[str]) -> None:
        if not isinstance(shares, Mapping):
            shares = dict.fromkeys([*names, TOGETHER][: max(1, len(names))], shares)
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"condition_dropout must be within [0, 1], got {share} ({name})")
            if name not in (*names, TOGETHER):
                raise ValueError(
                    f"condition_dropout: no condition is called {name!r}{nearest(name, names)}; "
                    f"there are {', '.join(names) or 'none'}, and 'all'"
                )
        self.shares = {name: shares.get(name, 0.0) for name in names}
        self.together = shares.get(TOGETHER, 0.0) if names else 0.0

    def draw(self, batch_size: int) -> dict[str, Tensor]:
        """True for the clips (b,) that lose a condition, by its name; on the CPU."""
        drawn = {name: torch.rand(batch_size) < share for name, share in self.shares.items()}
        if self.together:
            lost = torch.rand(batch_size) < self.together
            drawn = {name: own | lost for name, own in drawn.items()}
        return drawn
