"""Inception-v3 of the FID (Heusel et al. 2017), as the TorchScript file that clean-fid downloads.

The file is a port of the TensorFlow network of 2015; ``inception_v3`` of torchvision is another
network with other features.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vidiff.weight_search import caches, find_file
from vidiff_eval.networks.weights import load_script

SIZE = 299
"""Height and width of its frames, in pixels."""

NUM_FEATURES = 2048

FILES = ("inception-2015-12-05.pt", "[0-9a-f]*_*inception-2015-12-05.pt*")
"""Names that clean-fid and the cache of StyleGAN's tools give it."""


class InceptionV3(nn.Module):
    """Frames to the 2048 features of the last pooling, without the resizing that is in the file.

    Args:
        path: of the TorchScript file; it has ``layers``, for inputs in [-1, 1).

    Raises:
        ValueError: if there is no such file, or it holds another network.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        layers = getattr(load_script(path), "layers", None)
        if not isinstance(layers, nn.Module):
            raise ValueError(f"{path} has no layers, as the Inception file of clean-fid has")
        self.layers = layers

    def forward(self, frames: Tensor) -> Tensor:
        """Frames (b, 3, 299, 299) in [0, 255] to features (b, 2048).

        Raises:
            ValueError: if the network finds another number of features.
        """
        with torch.jit.optimized_execution(False):
            found: Tensor = self.layers((frames - 128) / 128).flatten(1)
        if found.shape != (len(frames), NUM_FEATURES):
            raise ValueError(
                f"the Inception file finds {found.shape[1]} features of a frame, not "
                f"{NUM_FEATURES}: give the one that clean-fid downloads, {FILES[0]}"
            )
        return found


CLEAN_FID = Path("/tmp")
"""Where clean-fid downloads it to."""


def find_inception() -> Path:
    """The file on this machine: in ``$VIDIFF_WEIGHTS``, where clean-fid keeps it, or in caches.

    Raises:
        ValueError: if there is none, with the places that were looked in.
    """
    return find_file("Inception", FILES, [CLEAN_FID, *caches()], hint="")
