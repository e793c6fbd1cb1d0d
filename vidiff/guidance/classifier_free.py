"""Classifier-free guidance (Ho & Salimans 2022), within an interval (Kynkäänniemi et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vidiff.checks import at_least
from vidiff.diffusion.predictions import Denoised
from vidiff.guidance.base import Guidance, Steered, extrapolated
from vidiff.registry import register


@register("classifier_free")
@dataclass(eq=False)
class ClassifierFree(Guidance):
    """``unconditional + scale (conditional - unconditional)``.

    Args:
        scale: 1 follows the model as it is and asks it once a step, above 1 stresses the conditions
            and asks it twice, 0 ignores them.
        channels: guide only the first channels of the latents, as the published sampling of DiT and
            SiT does with 3 of 4; None guides all.
        conditions: names of the conditions that are left out; None for all.
    """

    channels: int | None = None
    conditions: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, channels=self.channels)

    def check(self, steered: Steered) -> None:
        steered.check(self.conditions or (), "guidance classifier_free")

    def __call__(self, steered: Steered, x_t: Tensor, t: Tensor) -> Denoised:
        without = steered.names if self.conditions is None else self.conditions
        if not self.acts(t) or not without:
            return steered(x_t, t)
        if self.scale == 0 and self.channels is None:
            return steered(x_t, t, without)
        contrast = steered(x_t, t, without)
        return extrapolated(steered(x_t, t), contrast, self.scale, self.channels)
