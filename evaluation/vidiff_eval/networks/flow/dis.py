"""Dense inverse search (Kroeger et al. 2016), by OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.networks.flow.base import OpticalFlow

if TYPE_CHECKING:
    from types import ModuleType

    import torch
    from torch import Tensor

SMALLEST = 16
"""Height and width in pixels that the coarsest scale needs."""

PRESET = "medium"


@register("dis")
class DIS(OpticalFlow):
    """Dense inverse search on grey levels (OpenCV), on the CPU, without weights."""

    @property
    def settings(self) -> dict[str, Any]:
        return {"flow": "dis", "preset": PRESET, "opencv": str(_opencv().__version__)}

    def estimate(
        self, frames: Tensor, others: Tensor, device: torch.device | str = "cpu"
    ) -> Tensor:
        import numpy as np
        import torch

        height, width = frames.shape[2:]
        if min(height, width) < SMALLEST:
            raise ValueError(
                f"optical flow by DIS needs frames of at least {SMALLEST}x{SMALLEST} pixels, these "
                f"are {height}x{width}: set --protocol.size"
            )
        opencv = _opencv()
        search = opencv.DISOpticalFlow_create(opencv.DISOPTICAL_FLOW_PRESET_MEDIUM)
        pairs = zip(_grey(frames), _grey(others), strict=True)
        # None: no flow of the pair before to begin with.
        flow = np.stack([search.calc(*pair, None) for pair in pairs])
        return torch.from_numpy(flow).permute(0, 3, 1, 2).to(frames.device)


def _grey(frames: Tensor) -> Any:
    """(n, 3, h, w) in [-1, 1] to whole grey levels (n, h, w), weighted as in ITU-R BT.601."""
    import torch

    weights = torch.tensor([0.299, 0.587, 0.114], device=frames.device).view(3, 1, 1)
    grey = ((frames.float() + 1) * 127.5 * weights).sum(1)
    return grey.clamp(0, 255).round().to(torch.uint8).cpu().contiguous().numpy()


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise ValueError(
            f"optical flow by DIS needs OpenCV, which cannot be imported ({error}): "
            "pip install 'vidiff[flow]', or set flow to raft and flow.weights to RAFT's file"
        ) from error
    module: ModuleType = cv2
    return module
