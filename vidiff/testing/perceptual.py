"""What is checked of the kind ``perceptual``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vidiff.perceptual import Perceptual
from vidiff.testing.common import finite


def check(make: Callable[..., Perceptual]) -> None:
    """Assert what the base class promises."""
    distance = make()
    assert not any(p.requires_grad for p in distance.parameters()), "its weights are never trained"
    reference = torch.rand(2, 3, 2, 64, 64) * 2 - 1
    pixels = (reference * torch.tensor([1.0, 0.5]).view(2, 1, 1, 1, 1)).requires_grad_()
    found = finite(distance(pixels, reference), (2,), "distances")
    assert found[0].abs() < 1e-6, "a video is at no distance from itself"
    assert found[1] > 0, "other videos are at a distance"
    alone = distance(pixels[1:], reference[1:])
    assert torch.allclose(alone, found[1:], rtol=1e-3), "a distance depends on its neighbours"
    gradient = torch.autograd.grad(found[1], pixels)[0]
    assert gradient[1].any(), "gradients must reach the pixels"
