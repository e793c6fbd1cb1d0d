"""Given frames: image to video, extension, joining, infill (VDM, Ho et al. 2022; MAGVIT)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from vidiff.autoencoders.base import Autoencoder
from vidiff.conditions.base import Condition
from vidiff.registry import register
from vidiff.types import Inputs, Known, Signal, SignalDims, num_clips


@register("frames")
class Frames(Condition):
    """Some latent frames of the clip are given: they are clean, their time is 0, and they stay.

    Training draws which frames are given, if any. The network sees them as channels: the clean
    latents, zero where unknown, and their mask. Sampling continues from an image (``vidiff sample
    --image``), or from any ``Known`` latents. The probabilities add up to at most 1.

    Args:
        first: probability that the first frame is given.
        past: that the first k frames are, k drawn evenly from 1 to all but one.
        future: that the last k frames are.
        both_ends: that the first and the last frame are.
        random: that each frame is with probability one half.
    """

    reads: ClassVar = ("known", "latents")
    optional: ClassVar = ("known", "latents")

    def __init__(
        self,
        *,
        autoencoder: Autoencoder,
        first: float = 0.4,
        past: float = 0.2,
        future: float = 0.0,
        both_ends: float = 0.1,
        random: float = 0.0,
    ) -> None:
        super().__init__()
        shares = (first, past, future, both_ends, random)
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise ValueError(
                "first, past, future, both_ends and random are probabilities that add up to at "
                f"most 1, got {', '.join(map(str, shares))}"
            )
        self.ends = torch.tensor(shares, dtype=torch.float64, device="cpu").cumsum(0)
        self.dims = SignalDims(channels=autoencoder.latent_channels + 1)

    def signal(self, inputs: Inputs) -> Signal:
        known, latents = inputs.get("known"), inputs.get("latents")
        if known is None and latents is not None:
            b, _, f, h, w = latents.shape
            given = self.given(self._draws(b, f, inputs.get("id")), f)
            given = given.to(latents.device, non_blocking=True)
            mask = given[:, None, :, None, None].expand(b, 1, f, h, w).to(latents.dtype)
            known = Known(latents, mask)
        if known is None:
            # As clips of which training gives nothing: frames have times of their own there too,
            # which differ from one time for all in a network that sees time as tokens.
            nothing = self.empty(inputs)
            assert nothing.channels is not None
            nothing.known = Known(nothing.channels[:, :-1], nothing.channels[:, -1:])
            return nothing
        channels = torch.cat([known.latents * known.mask, known.mask], dim=1)
        return Signal(channels=channels, known=known)

    def empty(self, inputs: Inputs) -> Signal:
        c, f, h, w = inputs["latent_shape"]
        known, held = inputs.get("known"), inputs.get("latents")
        held = held if known is None else known.latents
        device = None if held is None else held.device
        return Signal(channels=torch.zeros(num_clips(inputs), c + 1, f, h, w, device=device))

    def given(self, u: Tensor, num_frames: int) -> Tensor:
        """Which frames are given, (b, f), from uniform draws (b, 2 + f)."""
        place = torch.arange(num_frames)
        count = 1 + (u[:, 1:2] * (num_frames - 1)).floor()
        masks = (
            (place == 0).expand(len(u), -1),
            place < count,
            place >= num_frames - count,
            ((place == 0) | (place == num_frames - 1)).expand(len(u), -1),
            u[:, 2:] < 0.5,
            torch.zeros(len(u), num_frames, dtype=torch.bool),
        )
        chosen = torch.searchsorted(self.ends, u[:, 0].double().contiguous(), right=True)
        drawn = torch.stack(masks)[chosen, torch.arange(len(u))]
        return drawn & (drawn.sum(1, keepdim=True) < num_frames)  # something is left to predict

    def _draws(self, b: int, f: int, ids: Sequence[str] | None) -> Tensor:
        """Uniform numbers: new ones in training, else a clip's own whenever it is met."""
        if self.training or ids is None:
            return torch.rand(b, 2 + f)
        seeds = [zlib.crc32(b"frames" + clip.encode("utf-8", "surrogateescape")) for clip in ids]
        return torch.stack(
            [torch.rand(2 + f, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )
