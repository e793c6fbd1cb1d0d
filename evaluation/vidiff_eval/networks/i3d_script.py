"""I3D as the TorchScript file in circulation has it, ``i3d_torchscript.pt`` (StyleGAN-V, 2021)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vidiff_eval.networks.i3d import MIN_FRAMES, NUM_FEATURES, SIZE
from vidiff_eval.networks.weights import load_script


class ScriptedI3D(nn.Module):
    """A file that maps videos to 400 logits, ``forward(x, rescale, resize, return_features)``.

    Args:
        path: of the file.

    Raises:
        ValueError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.script = load_script(path)
        self.takes_one = self._takes_one()

    def forward(self, videos: Tensor) -> Tensor:
        """Videos (b, 3, f, 224, 224) in [-1, 1] to logits (b, 400), averaged over time.

        Raises:
            ValueError: if the file holds another network.
        """
        alone = len(videos) == 1 and not self.takes_one
        try:
            found = self._run(torch.cat([videos, videos]) if alone else videos)
            return found.reshape(-1, NUM_FEATURES)[: len(videos)]
        except (RuntimeError, IndexError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise ValueError(
                "the TorchScript file does not work as I3D's does, forward(x, rescale, resize, "
                f"return_features) -> (b, {NUM_FEATURES}): {reason}"
            ) from error

    def _run(self, videos: Tensor) -> Tensor:
        # Without fusers, which have been met to fail in this network (FastVideo pull request 1341).
        with torch.jit.optimized_execution(False):
            found: Tensor = self.script(videos, rescale=False, resize=False, return_features=True)
        return found

    def _takes_one(self) -> bool:
        """Whether a batch of one works: where all axes of one are squeezed, it does not."""
        black = torch.full((1, 3, MIN_FRAMES, SIZE, SIZE), -1.0)
        try:
            return self._run(black).numel() == NUM_FEATURES
        except (RuntimeError, IndexError):
            return False
