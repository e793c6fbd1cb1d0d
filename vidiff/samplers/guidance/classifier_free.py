"""Classifier-free guidance (Ho & Salimans 2022), within an interval (Kynkäänniemi et al. 2024)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.registry import register
from vidiff.samplers.base import Denoise
from vidiff.samplers.guidance.base import Guidance


@register("classifier_free")
class ClassifierFree(Guidance):
    """``unconditional + scale (conditional - unconditional)``.

    Args:
        scale: 1 follows the model as it is and asks it once a step, above 1 stresses the prompt,
            0 ignores it.
        interval: times at which guidance acts; outside, the scale is 1.

    Raises:
        ValueError: unless 0 <= interval[0] <= interval[1] <= 1.
    """

    def __init__(self, scale: float = 1.0, interval: tuple[float, float] = (0.0, 1.0)) -> None:
        if not 0 <= interval[0] <= interval[1] <= 1:
            raise ValueError(f"interval must be ordered and within [0, 1], got {list(interval)}")
        self.scale, self.interval = scale, interval

    def __call__(
        self, conditional: Denoise, unconditional: Denoise, x_t: Tensor, t: Tensor
    ) -> Denoised:
        """See the base class; all times of a batch are one."""
        low, high = self.interval
        inside = self.interval == (0.0, 1.0) or low <= float(t[0]) <= high
        if self.scale == 1 or not inside:
            return conditional(x_t, t)
        without = unconditional(x_t, t)
        if self.scale == 0:
            return without
        with_prompt = conditional(x_t, t)
        return Denoised(
            sample=without.sample.lerp(with_prompt.sample, self.scale),
            noise=without.noise.lerp(with_prompt.noise, self.scale),
        )
