"""What is checked of the kind ``optimizer``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vidiff.optimizers import OptimizerRecipe
from vidiff.testing.common import refuses


class _Net(nn.Module):
    """A network with blocks in a list, as transformers have them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 1)
        self.blocks = nn.ModuleList([nn.Linear(8, 8)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x).tanh()
        return self.last(x)


def check(make: Callable[..., OptimizerRecipe]) -> None:
    """Assert what the base class promises."""
    model = _Net()
    optimizer = make().build([model])
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(map(id, model.parameters())), "each parameter once, none twice"
    x = torch.randn(64, 4)
    losses = []
    for _ in range(20):
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}"
    frozen = nn.Linear(2, 2).requires_grad_(False)
    assert refuses(lambda: make().build([frozen])), "nothing to train must raise ValueError"
