"""A perceptual distance, as a measure."""

from __future__ import annotations

from torch import Tensor

from vidiff.perceptual import MakePerceptual
from vidiff.reconstruction.base import Reconstruction, VideoScore
from vidiff.registry import get_component, register


@register("lpips")
class PerceptualDistance(VideoScore):
    """How different reconstructions look (LPIPS, Zhang et al. 2018), averaged over videos.

    The score has the name of the variant that the weights decide, for instance ``st-lpips-vgg``:
    scores of different variants must not be compared.

    Args:
        distance: which perceptual distance; ``lpips`` with the weights that are found, by default.
    """

    higher_is_better = False

    def __init__(self, *, distance: MakePerceptual | None = None) -> None:
        super().__init__()
        self.distance = (distance or get_component("perceptual", "lpips").cls)()
        self.score_name = getattr(self.distance, "variant", "perceptual")

    def score(self, videos: Reconstruction) -> Tensor:
        return self.distance(videos.pixels, videos.reference)
