"""AdamW (Loshchilov & Hutter 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from vidiff.optimizers.base import OptimizerRecipe, decayed_groups, trainable
from vidiff.registry import register


@register("adamw")
@dataclass(eq=False)
class AdamW(OptimizerRecipe):
    """AdamW for every parameter; weight decay leaves out vectors (biases, gains).

    Args:
        lr: peak learning rate.
        betas: decay of the running mean and of the running mean square of gradients.
        eps: added to the denominator.
        weight_decay: pull towards zero, times the learning rate.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def build(self, modules: Sequence[nn.Module]) -> torch.optim.AdamW:
        optimizer = torch.optim.AdamW(
            decayed_groups(trainable(modules), self.weight_decay),
            lr=self.lr, betas=self.betas, eps=self.eps, fused=True,
        )  # fmt: skip
        # Leave unscaling to the caller, as Lightning demands of whoever clips gradients.
        optimizer._step_supports_amp_scaling = False
        return optimizer
