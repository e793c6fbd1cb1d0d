"""Optical flow by RAFT (Teed & Deng 2020), torchvision's network with a file of its weights."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff_eval.networks.optical_flow import OpticalFlow

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

UPDATES = 20
"""Refinements of the flow, as VBench has it."""

SMALLEST, MULTIPLE = 128, 8
"""What height and width must be at least and a multiple of; frames are padded to that."""

CHUNK = 8
"""Pairs of frames that go through the network at once."""

FILES = ("raft_large*.pth", "raft_large*.safetensors", "raft_small*.pth", "raft_small*.safetensors")
"""Names that torchvision gives its weights, and such as people do."""


class RAFT(OpticalFlow):
    """RAFT, large or small: the weights decide.

    Frames keep their size; their last rows and columns are repeated up to what the network takes.

    Args:
        path: of weights of torchvision's ``raft_large`` or ``raft_small``, as ``.pth`` or
            ``.safetensors``; None looks in ``$VIDIFF_WEIGHTS`` and torch hub's cache.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.given = path

    @cached_property
    def path(self) -> Path:
        """The file of weights.

        Raises:
            ValueError: if there is none, with the places that were looked in.
        """
        from vidiff.weight_search import caches, find_file

        return self.given or find_file("RAFT", FILES, caches(), hint="")

    @cached_property
    def network(self) -> nn.Module:
        """The network, on the CPU at first."""
        return load_raft(self.path)

    @property
    def settings(self) -> dict[str, Any]:
        from vidiff_eval.networks.weights import sha256

        return {"flow": "raft", "weights_sha256": sha256(self.path), "updates": UPDATES}

    def find(self, frames: Tensor, others: Tensor, device: torch.device | str = "cpu") -> Tensor:
        import torch

        from vidiff_eval.networks.exact import exact

        network = self.network.to(device)
        height, width = frames.shape[2:]
        with exact(device), torch.no_grad():
            found = [
                network(*(_pad(side.to(device).float()) for side in pair), UPDATES)[-1]
                for pair in zip(frames.split(CHUNK), others.split(CHUNK), strict=True)
            ]
        return torch.cat(found)[..., :height, :width].to(frames.device)


def _pad(frames: Tensor) -> Tensor:
    from torch.nn import functional as F

    wanted = [max(SMALLEST, -(-length // MULTIPLE) * MULTIPLE) for length in frames.shape[2:]]
    below, right = (want - length for want, length in zip(wanted, frames.shape[2:], strict=True))
    return F.pad(frames, (0, right, 0, below), mode="replicate")


def load_raft(path: Path) -> nn.Module:
    """RAFT of torchvision with the weights of a file, for use without gradients.

    Raises:
        ValueError: if there is no such file, or it holds something else.
    """
    from torchvision.models.optical_flow import raft_large, raft_small

    state = _read(path)
    first = state.get("feature_encoder.convnormrelu.0.weight")
    if first is None:
        keys = ", ".join(list(state)[:3])
        raise ValueError(
            f"{path} holds no RAFT of torchvision (its first keys: {keys or 'none'}); give the "
            "file of raft_large or raft_small that torchvision downloads"
        )
    # The large network's first convolution finds 64 channels, the small one's 32.
    network: nn.Module = (raft_large if len(first) == 64 else raft_small)(weights=None)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        reason = " ".join(line.strip() for line in lines[:2])
        raise ValueError(f"{path} does not fit torchvision's RAFT: {reason}") from error
    return network.requires_grad_(False).eval()


def _read(path: Path) -> dict[str, Tensor]:
    import torch

    from vidiff.weight_files import why_unreadable

    if not path.is_file():
        raise ValueError(f"weights {path} do not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, by what the file is instead
        reason = why_unreadable(error)
        raise ValueError(f"{path} cannot be read as weights of RAFT: {reason}") from error
    return state if isinstance(state, dict) else {}
