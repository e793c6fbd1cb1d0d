"""What is checked of the kind ``reconstruction_metric``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vidiff.autoencoders import Gaussian
from vidiff.reconstruction import Reconstruction, ReconstructionMetric, Sums
from vidiff.testing.common import CHANNELS, finite


def check(make: Callable[..., ReconstructionMetric]) -> None:
    """Assert what the base class promises."""
    metric = make()
    # As many frames as I3D needs.
    reference = torch.rand(3, 3, 9, 32, 32) * 2 - 1
    noisy = (reference + 0.3 * torch.randn_like(reference)).clamp(-1, 1)
    latents = torch.randn(3, CHANNELS, 3, 8, 8)

    def sums(pixels: Tensor, clips: slice = slice(None)) -> Sums:
        posterior = Gaussian(latents[clips], torch.zeros_like(latents[clips]))
        videos = Reconstruction(pixels[clips], reference[clips], latents[clips], posterior)
        return metric.measure(videos)

    with torch.no_grad():
        whole, begin, end = (sums(noisy, slice(*s)) for s in ((0, 3), (0, 1), (1, 3)))
        assert whole.keys() == begin.keys() == end.keys(), "batches must give sums of one set"
        for name, total in whole.items():
            finite(total, tuple(begin[name].shape), f"sum {name}")
            added = begin[name].double() + end[name].double()
            assert torch.allclose(total.double(), added, rtol=1e-4), f"{name} is no sum over videos"
        if not whole:
            return
        figures, perfect = metric.summarise(whole), metric.summarise(sums(reference))
    for name, value in (figures | perfect).items():
        finite(value, (), name)
    if metric.higher_is_better is not None:
        first = next(iter(figures))
        better = perfect[first] > figures[first]
        assert better == metric.higher_is_better, (
            f"{first} must tell noisy videos from perfect ones"
        )
