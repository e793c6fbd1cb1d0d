"""Classifier-free guidance (Ho & Salimans 2022), within an interval (Kynkäänniemi et al. 2024)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.registry import register
from vidiff.samplers.base import Denoise
from vidiff.samplers.guidance.base import Guidance, extrapolated


@register("classifier_free")
class ClassifierFree(Guidance):
    """``unconditional + scale (conditional - unconditional)``.

    Args:
        scale: 1 follows the model as it is and asks it once a step, above 1 stresses the prompt and
            asks it twice, 0 ignores the prompt.
        interval: times at which guidance acts; outside, the scale is 1.
        channels: guide only the first channels of the latents, as the published sampling of DiT and
            SiT does with 3 of 4; None guides all.

    Raises:
        ValueError: unless 0 <= interval[0] <= interval[1] <= 1, or if there is no channel.
    """

    def __init__(
        self,
        scale: float = 1.0,
        interval: tuple[float, float] = (0.0, 1.0),
        channels: int | None = None,
    ) -> None:
        super().__init__(scale, interval)
        if channels is not None and channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}; None guides all")
        self.channels = channels

    def __call__(self, conditional: Denoise, contrast: Denoise, x_t: Tensor, t: Tensor) -> Denoised:
        """See the base class."""
        if not self.acts(t):
            return conditional(x_t, t)
        if self.scale == 0 and self.channels is None:
            return contrast(x_t, t)
        return extrapolated(conditional(x_t, t), contrast(x_t, t), self.scale, self.channels)
