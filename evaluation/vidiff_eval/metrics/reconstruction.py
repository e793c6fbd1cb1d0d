"""Metrics of pairs that measures of reconstructions (kind ``reconstruction_metric``) compute."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from vidiff.registry import get_component
from vidiff_eval.metrics.base import PairMetric, Row

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vidiff.reconstruction.base import VideoScore


class ScoredPairs(PairMetric):
    """Gives each generated clip the number of a measure that training reports too.

    So a score here is that of ``vidiff validate``, but for the compression of the files.
    """

    device: torch.device | str = "cpu"

    def make(self) -> VideoScore:
        """The measure; by default the reconstruction metric of the same name.

        Raises:
            ValueError: if its weights are missing.
        """
        import vidiff.reconstruction  # noqa: F401 - registers it

        score: VideoScore = get_component("reconstruction_metric", self.scores[0]).cls()
        return score

    @cached_property
    def video_score(self) -> VideoScore:
        """The measure, made when it is first needed; on the CPU at first."""
        return self.make().eval()

    @property
    def settings(self) -> dict[str, Any]:
        return {"clips": "mean over all pixels and frames of a clip, then over clips"}

    def to(self, device: torch.device | str) -> None:
        self.device = device

    def judge(self, generated: Tensor, real: Tensor) -> list[Row]:
        from vidiff.reconstruction.base import Reconstruction

        if generated.shape != real.shape:
            raise ValueError(
                f"clips of a pair differ: {tuple(generated.shape[1:])} and {tuple(real.shape[1:])} "
                "(c f h w); set --protocol.size and --protocol.num_frames"
            )
        pixels, reference = (side.to(self.device) for side in (generated, real))
        pair = Reconstruction(pixels, reference, pixels.new_zeros(len(pixels), 0))
        scores = self.video_score.to(self.device).score(pair)
        return [{self.scores[0]: float(score)} for score in scores.cpu()]
