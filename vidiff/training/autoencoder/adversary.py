"""A discriminator that learns beside the autoencoder (Esser et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, convert_parameters
from torch.optim import Optimizer

from vidiff.discriminators import Discriminator
from vidiff.optimizers import OptimizerRecipe

ADVERSARIAL = (
    "adversarial", "adaptive_weight", "discriminator", "logits_real", "logits_fake", "r1",
)  # fmt: skip
"""Names of the terms that an adversary adds to the loss's."""


class Adversary(nn.Module):
    """A discriminator with its loss, its optimizer, and its term of the autoencoder's loss.

    Lightning knows its weights but not its optimizer, so that ``global_step`` counts one step where
    both learn. It is whole on every process; gradients are averaged here.
    """

    def __init__(
        self, discriminator: Discriminator, recipe: OptimizerRecipe, *, weight: float,
        adaptive: bool, r1_weight: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.discriminator, self.recipe = discriminator, recipe
        self.weight, self.adaptive, self.r1_weight = weight, adaptive, r1_weight
        self.optimizer: Optimizer | None = None
        self.saved: dict[str, Any] = {}

    def begin(self, schedule: Callable[[int], float]) -> None:
        """Build the optimizer, in the state of a loaded checkpoint; ``schedule`` is of its rate."""
        self.schedule, self.optimizer = schedule, self.recipe.build([self.discriminator])
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        if self.saved:
            self.optimizer.load_state_dict(self.saved)
        self.saved = {}

    def step(
        self,
        pixels: Tensor,
        reference: Tensor,
        fidelity: Tensor,
        last_layer: Callable[[], nn.Parameter],
        share: float = 1.0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Add to the discriminator's gradients; returns the weighted adversarial loss, and terms.

        Args:
            pixels: reconstructions (b, 3, f, h, w), with their graph; ``reference`` like them.
            fidelity: the autoencoder's other losses on ``pixels``, a scalar.
            share: of this batch in one step of the optimizers.
        """
        own, terms = self.judge(pixels.detach(), reference)
        (own * share).backward()
        # Gradients pass through the discriminator and reach none of its parameters.
        weights = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        adversarial = -functional_call(self.discriminator, weights, (pixels,)).float().mean()
        terms["adversarial"] = adversarial
        weight: float | Tensor = self.weight
        if self.adaptive:
            terms["adaptive_weight"] = adaptive_weight(fidelity, adversarial, last_layer())
            weight = weight * terms["adaptive_weight"]
        return weight * adversarial, terms

    def judge(self, pixels: Tensor, reference: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's own loss, a scalar, and its terms."""
        reference = reference.detach().requires_grad_(self.r1_weight > 0)
        real, fake = (self.discriminator(x).float() for x in (reference, pixels))
        terms = {
            "discriminator": hinge(real, fake),
            "logits_real": real.mean(), "logits_fake": fake.mean(),
        }  # fmt: skip
        if not self.r1_weight:
            return terms["discriminator"], terms
        terms["r1"] = gradient_penalty(real, reference)
        return terms["discriminator"] + self.r1_weight * terms["r1"], terms

    def update(self, step: int, trainer: Trainer) -> None:
        """Let the optimizer take its step, with the gradients of all processes."""
        assert self.optimizer is not None
        parameters = [p for p in self.discriminator.parameters() if p.grad is not None]
        if trainer.world_size > 1:
            gradients = [p.grad for p in parameters if p.grad is not None]
            flat = convert_parameters.parameters_to_vector(gradients)
            mean = trainer.strategy.reduce(flat, reduce_op="mean")
            convert_parameters.vector_to_parameters(mean, gradients)
        if trainer.gradient_clip_val:
            by_value = trainer.gradient_clip_algorithm == "value"
            clip: Callable[..., Any] = clip_grad_value_ if by_value else clip_grad_norm_
            clip(parameters, trainer.gradient_clip_val)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * self.schedule(step)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def optimizer_state(self) -> dict[str, Any]:
        """State of the discriminator's optimizer, for a checkpoint."""
        return self.saved if self.optimizer is None else self.optimizer.state_dict()


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss of logits: a scalar, zero once all are beyond their margin.

    Lim & Ye 2017; halved as in VQGAN's code.
    """
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def gradient_penalty(logits: Tensor, pixels: Tensor) -> Tensor:
    """Half the squared gradient of a video's logits (b, 1, ...) at its pixels, averaged: a scalar.

    R1, equation 9 of Mescheder et al. 2018, without its weight; pixels need a gradient.
    """
    gradient = torch.autograd.grad(logits.sum(), pixels, create_graph=True)[0]
    return 0.5 * gradient.float().square().flatten(1).sum(1).mean()


def adaptive_weight(fidelity: Tensor, adversarial: Tensor, last_layer: nn.Parameter) -> Tensor:
    """How much larger the gradient of other losses is at the last layer: a scalar in [0, 1e4].

    Equation 7 of Esser et al. 2021, with the constant and the bound of their code.
    """
    ours, theirs = (
        torch.autograd.grad(loss, last_layer, retain_graph=True)[0].norm()
        for loss in (fidelity, adversarial)
    )
    return (ours / (theirs + 1e-4)).clamp(0, 1e4)
