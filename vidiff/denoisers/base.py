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

    Args:
        in_channels: channels of the latents.
        out_channels: channels to predict.
        signals: widths of the conditions' forms, by name; none for a model without conditions.

    Attributes:
        channels: of what ``with_channels`` gives: the latents' and those of the conditions.
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
        """Predict.

        Args:
            latents: (b, in_channels, f, h, w), noisy.
            t: (b,), or (b, f) where latent frames have times of their own; in the units of the
                schedule's ``network_time``.
            signals: of the conditions, by name; one that is missing has no say.

        Returns:
            (b, out_channels, f, h, w).

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
        """Hands out tokens from inside: filled by each forward pass within.

        Args:
            blocks: numbers of blocks, from 1 on, in the order of ``blocks_to_compile``.

        Yields:
            The video's tokens (b, n, d) after each of them, by its number.

        Raises:
            ValueError: if there is no block of a number.
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
        """What a block gives, as the video's tokens (b, n, d).

        Args:
            output: of the block; here (b, ..., d).
            given: what the block was given.
        """
        return output.flatten(1, -2)

    def blocks_to_compile(self) -> list[nn.Module]:
        """What repeats over the depth: by default, members of the outermost ``nn.ModuleList``."""
        return list(listed(self))


def listed(module: nn.Module) -> Iterator[nn.Module]:
    """Members of each ``nn.ModuleList`` of a module that lies in no other."""
    for child in module.children():
        yield from child if isinstance(child, nn.ModuleList) else listed(child)


def merge_frames(vectors: Tensor, num_frames: int) -> Tensor:
    """Vectors of latent frames, (b, f, c), as those of groups of frames: their means.

    One vector for all, (b, 1, c), stays as it is.
    """
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
    """A denoiser with everything set but the dimensions."""

    def __call__(
        self, *, in_channels: int, out_channels: int, signals: Mapping[str, SignalDims]
    ) -> Denoiser: ...
