"""What is checked of the kind ``guidance``."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.guidance import Guidance, Steered
from vidiff.model import Model
from vidiff.testing.common import CHANNELS, finite


class _Answers(Steered):
    """In the place of a model: x0 under all conditions, and under fewer."""

    def __init__(self, x0: Tensor, contrast: Tensor, variance: Tensor | None = None) -> None:
        self.x0, self.contrast, self.variance = x0, contrast, variance

    @property
    def names(self) -> list[str]:
        return ["text", "frames"]

    def of(self, other: Model) -> Steered:
        return _Answers(self.contrast, self.contrast)

    def __call__(self, x_t: Tensor, t: Tensor, without: Collection[str] = ()) -> Denoised:
        # On the straight path, at t = 1 / 4.
        x0 = self.contrast if without else self.x0
        return Denoised(x0, 4 * x_t - 3 * x0, None if without else self.variance)


def check(make: Callable[..., Guidance]) -> None:
    """Assert what the base class promises."""
    x_t, t = torch.randn(2, CHANNELS, 2, 4, 4), torch.full((2,), 0.25)
    variance = torch.randn_like(x_t)
    guidance, x0 = make(), torch.randn_like(x_t)
    guided = guidance(_Answers(x0, x0, variance), x_t, t)
    assert torch.allclose(guided.x0, x0, atol=1e-5), "conditions that make no difference guide"
    assert guided.variance is variance, "the variance must be that under all conditions"
    for scale in (1.0, 3.0):
        guidance.scale = scale
        guided = guidance(_Answers(x0, torch.randn_like(x_t)), x_t, t)
        finite(guided.x0, tuple(x_t.shape), "clean latents")
        mixed = 0.75 * guided.x0 + 0.25 * guided.noise
        assert torch.allclose(mixed, x_t, atol=1e-4), "x0 and noise do not make up x_t"
    known = torch.tensor([[0.0, 0.25], [0.0, 0.25]])  # times, of clips whose first frame is known
    finite(guidance(_Answers(x0, x0), x_t, known).x0, tuple(x_t.shape), "clean latents")
