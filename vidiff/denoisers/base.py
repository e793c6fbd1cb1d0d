"""Denoiser interface."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vidiff.registry import kind
from vidiff.types import Signal, SignalDims, Signals


@kind("denoiser", given=("in_channels", "out_channels", "signals"))
class Denoiser(nn.Module, ABC):
    """The network: noisy latents, time and conditions to the objective's prediction.

    Attributes:
        channels: of the latents and of the conditions together, see ``with_channels``.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        signals: Mapping[str, SignalDims] | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.signals = dict(signals or {})
        self.channels = in_channels + sum(dims.channels for dims in self.signals.values())

    @abstractmethod
    def forward(self, latents: Tensor, t: Tensor, signals: Signals | None = None) -> Tensor:
        """Predict (b, out_channels, f, h, w).

        Args:
            latents: (b, in_channels, f, h, w), noisy.
            t: (b,), or (b, f) where latent frames have times of their own; in the units of the
                schedule's ``network_time``.
            signals: of the conditions, by name; a missing one has no effect.

        Raises:
            ValueError: if the latents' size does not fit the patches.
        """

    def with_channels(self, latents: Tensor, signals: Signals) -> Tensor:
        """Latents and the conditions' channels: (b, channels, f, h, w); zeros where missing."""
        if self.channels == self.in_channels:
            return latents
        parts = [latents]
        for name, dims in self.signals.items():
            if not dims.channels:
                continue
            found = signals[name].channels if name in signals else None
            if found is None:
                b, _, *size = latents.shape
                found = latents.new_zeros(b, dims.channels, *size)
            parts.append(found.to(latents))
        return torch.cat(parts, dim=1)

    @contextmanager
    def tapped(self, blocks: Collection[int]) -> Iterator[dict[int, Tensor]]:
        """The video's tokens (b, n, d) after blocks, by their numbers; filled by forward passes.

        Blocks are counted from 1 on, in the order of ``blocks_to_compile``; others are refused.
        """
        found: dict[int, Tensor] = {}
        known = self.blocks_to_compile()
        if outside := [number for number in blocks if not 1 <= number <= len(known)]:
            raise ValueError(
                f"there is no block {outside[0]} to take features from: "
                f"{type(self).__name__} has blocks 1 to {len(known)}"
            )

        def keep(number: int, module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
            found[number] = self.video_tokens(output, given)

        handles = [
            known[number - 1].register_forward_hook(functools.partial(keep, number))
            for number in blocks
        ]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()

    def video_tokens(self, output: Tensor, given: tuple[Any, ...]) -> Tensor:
        """A block's output (b, ..., d), given these inputs, as the video's tokens (b, n, d)."""
        return output.flatten(1, -2)

    def blocks_to_compile(self) -> list[nn.Module]:
        """Modules that repeat over the depth; here members of the outermost ``nn.ModuleList``."""
        return list(listed(self))


def listed(module: nn.Module) -> Iterator[nn.Module]:
    """Members of each ``nn.ModuleList`` of a module that lies in no other."""
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else listed(child)


def merge_frames(vectors: Tensor, num_frames: int) -> Tensor:
    """Means of vectors (b, f, c) over groups of frames; one vector for all, (b, 1, c), stays."""
    given = vectors.shape[1]
    if given in (1, num_frames):
        return vectors
    return vectors.unflatten(1, (num_frames, given // num_frames)).mean(2)


def merge_signals(signals: Signals, num_frames: int) -> Signals:
    """The signals with vectors of groups of frames, see ``merge_frames``."""

    def merged(signal: Signal) -> Signal:
        if signal.vector is None or signal.vector.ndim == 2:
            return signal
        return replace(signal, vector=merge_frames(signal.vector, num_frames))

    return {name: merged(signal) for name, signal in signals.items()}


class MakeDenoiser(Protocol):
    """A denoiser with everything set but the dimensions.

    Args:
        in_channels: channels of the latents.
        out_channels: channels to predict.
        signals: widths of the conditions' forms, by name; none for a model without conditions.
    """

    def __call__(
        self, *, in_channels: int, out_channels: int, signals: Mapping[str, SignalDims]
    ) -> Denoiser: ...
