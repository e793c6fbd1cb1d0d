"""Decoding part by part: tiles of each frame, whose seams are blended, and chunks of frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from vidiff.autoencoders.base import Autoencoder, Past

Pasts = dict[tuple[int, int], Past]  # the past of each tile, by its place


def decode_in_parts(
    autoencoder: Autoencoder,
    latents: Tensor,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    frames: int | None = None,
) -> Tensor:
    """Decode latents (b, c, f, h, w) in less memory than ``autoencoder.decode`` takes.

    Chunks of ``frames`` latent frames, of an autoencoder that streams, give the pixels of whole
    decoding; tiles differ near their seams, see ``decode_tiled`` and ``seam_error``.
    """
    if frames is None and tile is None:
        return autoencoder.decode(latents)
    tile = max(latents.shape[3:]) if tile is None else tile
    if frames is None:
        return decode_tiled(autoencoder, latents, tile=tile, overlap=overlap)
    pasts: Pasts = {}
    chunks = in_chunks(latents, frames, frames)
    parts = [decode_tiled(autoencoder, x, tile=tile, overlap=overlap, pasts=pasts) for x in chunks]
    return torch.cat(parts, dim=2)


def in_chunks(video: Tensor | Iterable[Tensor], first: int, then: int) -> Iterator[Tensor]:
    """A video in chunks (b, c, first, h, w), then (b, c, then, h, w); the last may be shorter.

    The video is (b, c, f, h, w), or an iterable of such pieces of any lengths, which is read
    lazily. To encode, ``first`` is 1 + k x ``compression[0]``, and ``then`` k x ``compression[0]``.
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


def decode_tiled(
    autoencoder: Autoencoder,
    latents: Tensor,
    *,
    tile: int,
    overlap: int | None = None,
    pasts: Pasts | None = None,
) -> Tensor:
    """Decode square tiles of latents (b, c, f, h, w), and blend them where they overlap.

    Tiles are spread evenly over the frame. Across an overlap, the weight of one falls linearly as
    that of the other rises. A single tile that covers the frame gives exactly what ``decode`` does.

    Args:
        tile: height and width of a tile, in latents, each of which is ``compression`` pixels.
        overlap: the least that neighbours share, in latents, at most half a tile; by default a
            quarter.
        pasts: for a chunk, a dict that is empty for the first and handed on to the next, as
            ``past`` is to ``decode_chunk``; None for a whole video.
    """
    rows, columns = plan_tiles(autoencoder, latents, tile, overlap)
    pixels: Tensor | None = None
    for row in rows:
        for column in columns:
            inside = latents[..., row.latents, column.latents]
            if pasts is None:
                part = autoencoder.decode(inside)
            else:
                past = pasts.setdefault((row.latents.start, column.latents.start), {})
                part = autoencoder.decode_chunk(inside, past)
            if pixels is None:
                size = rows[-1].pixels.stop, columns[-1].pixels.stop
                pixels = part.new_zeros(*part.shape[:3], *size, dtype=torch.float32)
            weights = (row.weights[:, None] * column.weights).to(part.device)
            pixels[..., row.pixels, column.pixels] += weights * part
    assert pixels is not None
    return pixels.to(part.dtype)


@dataclass(frozen=True)
class SeamError:
    """Absolute differences of pixels from tiles and from whole decoding; pixels span 2.

    A place is at a seam if several tiles cover it, or if it lies next to the edge of a tile within
    the frame. Where there is but one tile, or all is seams, the two are 0.
    """

    max_at_seams: float
    mean_at_seams: float
    max_elsewhere: float
    mean_elsewhere: float


@torch.no_grad()
def seam_error(
    autoencoder: Autoencoder, latents: Tensor, *, tile: int, overlap: int | None = None
) -> SeamError:
    """The error of ``decode_tiled``, whose arguments these are, against whole decoding."""
    whole = autoencoder.decode(latents)
    tiled = decode_tiled(autoencoder, latents, tile=tile, overlap=overlap)
    error = (tiled.float() - whole.float()).abs()
    at_seams = []
    for tiles in plan_tiles(autoencoder, latents, tile, overlap):
        at_seam = torch.zeros(tiles[-1].pixels.stop, dtype=torch.bool)
        for before, after in pairwise(tiles):
            at_seam[after.pixels.start - 1 : before.pixels.stop + 1] = True
        at_seams.append(at_seam)
    seams = (at_seams[0][:, None] | at_seams[1]).to(error.device)
    parts = [error[..., places] for places in (seams, ~seams)]
    errors = [float(f(x)) if x.numel() else 0.0 for x in parts for f in (torch.amax, torch.mean)]
    return SeamError(*errors)


@dataclass(frozen=True)
class Tile:
    """A tile along one axis: its place, in latents and in pixels."""

    latents: slice
    pixels: slice
    weights: Tensor  # of its pixels; those of all tiles add up to one at every place


def plan_tiles(
    autoencoder: Autoencoder, latents: Tensor, tile: int, overlap: int | None
) -> tuple[list[Tile], list[Tile]]:
    """The tiles along height and along width; raises as ``decode_tiled`` does."""
    if tile < 1:
        raise ValueError(f"tile must be at least 1 latent, got {tile}")
    overlap = tile // 4 if overlap is None else overlap
    if not 0 <= overlap <= tile // 2:
        raise ValueError(
            f"overlap must lie within 0 and half a tile, {tile // 2} latents, got {overlap}"
        )
    _, ch, cw = autoencoder.compression
    height, width = latents.shape[3:]
    return tiles_along(height, tile, overlap, ch), tiles_along(width, tile, overlap, cw)


def tiles_along(size: int, tile: int, overlap: int, factor: int) -> list[Tile]:
    """Tiles along an axis of ``size`` latents, each of ``factor`` pixels."""
    steps = max(0, math.ceil((size - tile) / (tile - overlap)))
    tile = min(tile, size)
    starts = [(size - tile) * step // max(1, steps) for step in range(steps + 1)]
    weights = torch.ones(len(starts), size * factor)
    place = torch.arange(size * factor) + 0.5  # the middle of each pixel
    for index, (before, after) in enumerate(pairwise(starts)):
        begin, end = after * factor, (before + tile) * factor
        shared = max(end - begin, 0.5)  # where nothing is, one weight ends as the other begins
        weights[index] *= ((end - place) / shared).clamp(0, 1)
        weights[index + 1] *= ((place - begin) / shared).clamp(0, 1)
    weights /= weights.sum(0)  # up to three tiles may share a place
    tiles = []
    for start, own in zip(starts, weights, strict=True):
        pixels = slice(start * factor, (start + tile) * factor)
        tiles.append(Tile(slice(start, start + tile), pixels, own[pixels]))
    return tiles
