"""Linear layers that know how they start."""

from __future__ import annotations

from torch import nn


class Linear(nn.Linear):
    """Xavier's weights and a bias of zero, as the blocks of DiT (Peebles & Xie 2023)."""

    def reset_parameters(self) -> None:
        """Called by the constructor."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class ZeroLinear(nn.Linear):
    """Starts at zero."""

    def reset_parameters(self) -> None:
        """Called by the constructor."""
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class Modulation(ZeroLinear):
    """A vector to scales, shifts and gates; starts at zero."""
