"""How alike the frames of a clip are, by the angles between their vectors.

Frames' vectors are (b, f, d), of any length but 0; a vector of zeros is alike to none (cosine 0).
All in float64.
"""

from __future__ import annotations

import torch
from einops import einsum
from torch import Tensor
from torch.nn import functional as F

from vidiff.checks import at_least


def unit(vectors: Tensor) -> Tensor:
    """Vectors (…, d) scaled to length 1, in float64.

    Example:
        >>> unit(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]], dtype=torch.float64)
    """
    return F.normalize(vectors.double(), dim=-1)


def adjacent(frames: Tensor) -> Tensor:
    """(b, f, d) to (b): mean cosine of each frame with the next.

    Raises:
        ValueError: if there is one frame only.

    Example:
        >>> adjacent(torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]])).tolist()
        [0.5]
    """
    return by_distance(frames, furthest=1)[:, 0]


def adjacent_and_first(frames: Tensor) -> Tensor:
    """(b, f, d) to (b): likeness to the frame before and to the first one, as VBench has it.

    The mean over all frames but the first of ½ (max(0, cos with the frame before) + max(0, cos with
    the first)): Huang et al. 2024, subject and background consistency.

    Raises:
        ValueError: if there is one frame only.

    Example:
        >>> adjacent_and_first(torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])).tolist()
        [0.5]
    """
    _check(frames)
    frames = unit(frames)
    before = einsum(frames[:, 1:], frames[:, :-1], "b f d, b f d -> b f")
    first = einsum(frames[:, 1:], frames[:, 0], "b f d, b d -> b f")
    return (before.clamp(min=0) + first.clamp(min=0)).mean(1) / 2


def by_distance(frames: Tensor, furthest: int | None = None) -> Tensor:
    """(b, f, d) to (b, f - 1): mean cosine of frames that are 1, 2, … apart.

    Args:
        frames: their vectors.
        furthest: the last distance; by default that of the first and the last frame.

    Raises:
        ValueError: if there is one frame only, or ``furthest`` is below 1.

    Example:
        >>> by_distance(torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])).tolist()
        [[0.0, 1.0]]
    """
    _check(frames)
    frames, num_frames = unit(frames), frames.shape[1]
    at_least(1, furthest=furthest)
    distances = range(1, num_frames if furthest is None else furthest + 1)
    means = [
        einsum(frames[:, k:], frames[:, : num_frames - k], "b f d, b f d -> b f").mean(1)
        for k in distances
    ]
    return torch.stack(means, dim=1)


def _check(frames: Tensor) -> None:
    if frames.shape[1] < 2:
        raise ValueError(
            f"consistency compares frames, and a clip has {frames.shape[1]}: set "
            "--protocol.num_frames to at least 2"
        )
