"""Muon (Jordan et al. 2024) for the matrices and kernels of blocks, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from vidiff.layers import Modulation, Table
from vidiff.optimizers.base import OptimizerRecipe, decayed_groups, loss_of, trainable
from vidiff.optimizers.muon import Muon
from vidiff.registry import register

NO_MATRICES = (Modulation, Table, nn.Embedding)
"""Layers whose weights are no hidden matrices, wherever they are."""


@register("muon_adamw")
@dataclass(eq=False)
class MuonAdamW(OptimizerRecipe):
    """Muon for the hidden matrices, AdamW for everything else.

    Hidden matrices are the parameters of at least two dimensions inside an ``nn.ModuleList``, which
    holds what a model repeats over its depth; a convolution's kernel counts as a matrix. The layers
    of ``NO_MATRICES`` are left out: a ``Modulation`` starts at zero and modulates a whole block.

    Args:
        lr: peak learning rate of AdamW.
        muon_lr: peak learning rate of Muon.
        momentum: of Muon.
        betas: of AdamW.
        weight_decay: pull of all matrices towards zero, times their learning rate.
        exclude: parts of names whose matrices AdamW gets though they lie in a block.
    """

    lr: float = 2e-3
    muon_lr: float = 0.02
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    exclude: Sequence[str] = ()

    def build(self, modules: Sequence[nn.Module]) -> Optimizer:
        parameters = trainable(modules)
        hidden = {id(p) for module in modules for p in hidden_matrices(module, self.exclude)}
        muon = {
            "params": [p for p in parameters if id(p) in hidden],
            "lr": self.muon_lr, "momentum": self.momentum, "weight_decay": self.weight_decay,
        }  # fmt: skip
        adamw = decayed_groups([p for p in parameters if id(p) not in hidden], self.weight_decay)
        for group in adamw:
            group |= {"lr": self.lr, "betas": self.betas, "fused": True}
        return CombinedOptimizer([(Muon, [muon] if muon["params"] else []), (AdamW, adamw)])


def hidden_matrices(module: nn.Module, exclude: Sequence[str] = ()) -> list[Tensor]:
    """The matrices inside the blocks of ``module``, see ``MuonAdamW``."""
    blocks = [child for child in module.modules() if isinstance(child, nn.ModuleList)]
    found = {
        id(p): p
        for block in blocks
        for prefix, layer in block.named_modules()
        if not isinstance(layer, NO_MATRICES)
        for name, p in layer.named_parameters(prefix, recurse=False)
        if p.ndim >= 2 and p.requires_grad and not any(word in name for word in exclude)
    }
    return list(found.values())


class CombinedOptimizer(Optimizer):
    """Several optimizers as one, with their parameter groups and state one after the other."""

    def __init__(self, parts: Sequence[tuple[Callable[..., Optimizer], list[dict]]]) -> None:
        self.parts = [make(groups) for make, groups in parts if groups]
        super().__init__([group for part in self.parts for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Let each part step over its own groups."""
        loss = loss_of(closure)
        first = 0
        for part in self.parts:
            # Groups and state are replaced when a checkpoint is loaded: share them anew.
            last = first + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[first:last], self.state
            part.step()
            first = last
        return loss
