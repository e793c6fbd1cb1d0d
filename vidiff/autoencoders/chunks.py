"""Long videos, cut along their frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def in_chunks(video: Tensor | Iterable[Tensor], first: int, then: int) -> Iterator[Tensor]:
    """A video in chunks for ``encode_chunks`` or ``decode_chunks``.

    Pieces are taken from an iterable only as they are needed, so that a video that is read from a
    file need not fit into memory.

    Args:
        video: (b, c, f, h, w), or an iterable of such pieces of any lengths, in order.
        first: frames of the first chunk; 1 + k x ``compression[0]`` to encode, any to decode.
        then: frames of the others; k x ``compression[0]`` to encode, any to decode.

    Yields:
        (b, c, first, h, w), then (b, c, then, h, w); the last may be shorter.

    Raises:
        ValueError: if a number of frames is below 1.
    """
    if min(first, then) < 1:
        raise ValueError(f"chunks need at least one frame, got {first=}, {then=}")
    pieces: list[Tensor] = []
    missing = first
    for rest in [video] if isinstance(video, Tensor) else video:
        while rest.shape[2]:
            pieces.append(rest[:, :, :missing])
            rest = rest[:, :, missing:]
            missing -= pieces[-1].shape[2]
            if not missing:
                yield torch.cat(pieces, dim=2)
                pieces, missing = [], then
    if pieces:
        yield torch.cat(pieces, dim=2)
