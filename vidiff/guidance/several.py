"""A scale for each condition (InstructPix2Pix, Brooks et al. 2023, section 3.2.1)."""

from __future__ import annotations

from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.guidance.base import Guidance, Steered, extrapolated
from vidiff.registry import register


@register("several")
class Several(Guidance):
    """Conditions are added one after the other, each with a scale of its own.

    With conditions 1, 2, … in the order of ``scales``, and ``e(1..k)`` the estimate under the first
    k of them: ``e() + scale_1 (e(1) - e()) + scale_2 (e(1, 2) - e(1)) + …`` (Brooks et al. 2023,
    eq. 3, which has the picture first and the text second). The network is asked once more than
    there are conditions. Conditions that are not listed are always on.

    Args:
        scales: by the condition's name, in the order in which they are added; at least one.
    """

    def __init__(
        self,
        scales: dict[str, float],
        interval: tuple[float, float] = (0.0, 1.0),
        negative: str = "",
    ) -> None:
        super().__init__(1.0, interval, negative)
        if not scales:
            raise ValueError("several needs a scale by the name of each condition, got none")
        self.scales = dict(scales)

    def check(self, steered: Steered) -> None:
        steered.check(self.scales, "guidance several")

    def __call__(self, steered: Steered, x_t: Tensor, t: Tensor) -> Denoised:
        if not self.within(t) or all(scale == 1 for scale in self.scales.values()):
            return steered(x_t, t)
        left = list(self.scales)
        estimate = steered(x_t, t, left)
        guided = estimate
        for name, scale in self.scales.items():
            left.remove(name)
            added = steered(x_t, t, left)
            step = extrapolated(added, estimate, scale)
            guided = Denoised(
                x0=guided.x0 + (step.x0 - estimate.x0),
                noise=guided.noise + (step.noise - estimate.noise),
                variance=added.variance,
            )
            estimate = added
        return guided
