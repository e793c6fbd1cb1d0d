"""Steps of Levenberg (1944) and Marquardt (1963) through the true renderer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidiff.data.shapes import COLOURS, coverage
from vidiff_eval.oracle.fits import Fits, scenes_of
from vidiff_eval.oracle.paint import paint_masks
from vidiff_eval.oracle.ranges import Ranges

DIFFERENCE = 0.02  # of a range: the step of numerical derivatives


def refine(videos: Tensor, fits: Fits, ranges: Ranges, num_steps: int) -> Fits:
    """Levenberg-Marquardt steps within the unit cube; a step that does not help is not taken."""
    targets = videos[fits.video]
    state = _evaluate(targets, fits, fits.pose, ranges)
    damping = torch.full_like(state.error, 1e-3)
    for _ in range(num_steps):
        jacobian = _jacobian(state, fits, ranges)
        gradient = (jacobian @ state.slope.flatten(1)[..., None]).squeeze(-1)
        curvature = jacobian @ jacobian.mT * state.contrast[:, None, None]
        trial = _evaluate(targets, fits, _step(state.pose, gradient, curvature, damping), ranges)
        better = trial.error < state.error
        damping = torch.where(better, damping / 10, damping * 10).clamp(1e-7, 1e4)
        state = state.replaced(better, trial)
    return replace(fits, pose=state.pose, error=state.error)


@dataclass
class _State:
    """Fits at a pose, under their best paint.

    ``slope`` (n, f, h, w) is how fast half the error falls with the mask; ``contrast`` (n,), the
    squared distance of colour and background, is how fast the slope does.
    """

    pose: Tensor
    masks: Tensor
    error: Tensor
    slope: Tensor
    contrast: Tensor

    def replaced(self, rows: Tensor, other: _State) -> _State:
        """Take the given rows from another state."""
        values = zip(vars(other).values(), vars(self).values(), strict=True)
        return _State(*(torch.where(rows.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in values))


def _evaluate(targets: Tensor, fits: Fits, pose: Tensor, ranges: Ranges) -> _State:
    size = targets.shape[2:]
    masks = coverage(scenes_of(fits, pose, ranges, size), *size)
    paint = paint_masks(targets, masks, ranges)
    palette = torch.tensor(list(COLOURS.values()))
    difference = palette[paint.colour] - paint.background[:, None]  # n 3
    contrast = difference.square().sum(1)
    slope = (difference[:, None] @ targets.flatten(2)).view_as(masks)
    slope -= (difference.sum(1) * paint.background).view(-1, 1, 1, 1)
    slope -= contrast.view(-1, 1, 1, 1) * masks
    return _State(pose, masks, paint.error, slope, contrast)


def _jacobian(state: _State, fits: Fits, ranges: Ranges) -> Tensor:
    """Numerical derivatives of masks by pose: (n, 4, pixels).

    They are central: a mask has a kink wherever an edge meets the border of a pixel, and from one
    side alone no step leads across it.
    """
    size = state.masks.shape[1:]
    num_fits, num_axes = state.pose.shape
    steps = DIFFERENCE * torch.eye(num_axes)
    moved = state.pose[:, None, None] + torch.stack([steps, -steps])  # n 2 4 4
    repeated = fits[torch.arange(num_fits).repeat_interleave(2 * num_axes)]
    masks = coverage(scenes_of(repeated, moved.flatten(0, 2), ranges, size), *size)
    ahead, behind = masks.view(num_fits, 2, num_axes, -1).unbind(1)
    return (ahead - behind) / (2 * DIFFERENCE)


def _step(pose: Tensor, gradient: Tensor, curvature: Tensor, damping: Tensor) -> Tensor:
    """One damped step; coordinates that would leave the cube stay, and the others step again."""
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    free = torch.ones_like(pose, dtype=torch.bool)
    for _ in range(2):
        gain = free[:, :, None] & free[:, None, :]
        # Where nothing depends on a coordinate (the speed of a still shape), 1e-3 keeps it.
        damped = diagonal * (1 + damping[:, None]) + 1e-3
        system = (curvature * gain).diagonal_scatter(damped, dim1=1, dim2=2)
        step = torch.linalg.solve(system, gradient * free)
        free = ~(((pose <= 0) & (step < 0)) | ((pose >= 1) & (step > 0))) & free
    return (pose + step * free).clamp(0, 1)
