"""What is checked of the kind ``autoencoder``."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from vidiff.autoencoders import Autoencoder
from vidiff.testing.common import check_module, finite, refuses


def check(make: Callable[..., Autoencoder]) -> None:
    """Assert what the base class promises."""
    autoencoder = make().eval()
    ct, ch, cw = autoencoder.compression
    channels = autoencoder.latent_channels
    for frames in (1, 1 + 2 * ct):
        size = (frames, 2 * ch, 3 * cw)
        pixels = torch.rand(2, 3, *size) * 2 - 1
        latent_size = autoencoder.latent_size(*size)
        with torch.no_grad():
            latents = autoencoder.encode(pixels)
            finite(latents, (2, channels, *latent_size), "latents")
            finite(autoencoder.decode(latents), (2, 3, *size), "pixels")
    if any(p.requires_grad for p in autoencoder.parameters()):
        check_module(make, lambda a: [a.eval()(pixels)[0]])
    for axis, factor in enumerate((ct, ch, cw)):
        if factor > 1:
            wrong = [1 + 2 * ct, 2 * ch, 2 * cw]
            wrong[axis] += 1
            pixels = torch.zeros(1, 3, *wrong)
            assert refuses(functools.partial(autoencoder.encode, pixels)), (
                f"frames, height and width {wrong} do not fit, so encode must raise ValueError"
            )
