"""Rescaled classifier-free guidance (Lin et al. 2024, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidiff.checks import within
from vidiff.diffusion.predictions import Denoised
from vidiff.guidance.base import Guidance, Steered, extrapolated
from vidiff.registry import register


@register("rescaled")
@dataclass(eq=False)
class Rescaled(Guidance):
    """Classifier-free guidance whose clean latents vary no more than without it.

    Large scales overexpose: the guided estimate spreads wider than any video. Here its standard
    deviation is moved back to that of the conditional estimate. The paper scales what its network
    predicts; this scales the clean latents, whatever is predicted, and the noise follows from them.

    Args:
        scale: above 1 stresses the conditions and asks the network twice a step; 7.5 in the paper.
        phi: how far it is moved back: 0 not at all, 1 all the way; 0.7 in the paper.
    """

    scale: float = 7.5
    phi: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        within(0, 1, phi=self.phi)

    def __call__(self, steered: Steered, x_t: Tensor, t: Tensor) -> Denoised:
        plain = steered(x_t, t)
        if not self.acts(t):
            return plain
        other = steered(x_t, t, steered.names)
        guided = extrapolated(plain, other, self.scale)
        dims = tuple(range(1, x_t.ndim))
        spread = guided.x0.std(dims, keepdim=True).clamp(min=torch.finfo(x_t.dtype).tiny)
        factor = plain.x0.std(dims, keepdim=True) / spread
        x0 = guided.x0.lerp(factor * guided.x0, self.phi)
        # With x_t fixed, the noise moves against the clean latents, by a share that the two
        # estimates tell: alpha / sigma.
        moved, answer = plain.x0 - other.x0, plain.noise - other.noise
        size = moved.square().sum(dims, keepdim=True).clamp(min=torch.finfo(x_t.dtype).tiny)
        share = (moved * answer).sum(dims, keepdim=True) / size
        noise = guided.noise + share * (x0 - guided.x0)
        return Denoised(x0, noise, guided.variance)
