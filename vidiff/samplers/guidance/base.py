"""What a guidance promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import kind
from vidiff.samplers.base import Denoise


@kind("guidance")
class Guidance(ABC):
    """Joins a denoiser that knows the prompt with a contrast, which is worse in some way.

    Args:
        scale: 1 follows the model as it is and asks it once a step; above 1 moves away from the
            contrast, which costs a second call; 0 is the contrast.
        interval: times at which guidance acts; outside, the scale is 1 (Kynkäänniemi et al. 2024).

    Raises:
        ValueError: unless 0 <= interval[0] <= interval[1] <= 1.
    """

    def __init__(self, scale: float = 1.0, interval: tuple[float, float] = (0.0, 1.0)) -> None:
        if not 0 <= interval[0] <= interval[1] <= 1:
            raise ValueError(f"interval must be ordered and within [0, 1], got {list(interval)}")
        self.scale, self.interval = scale, interval

    def contrast(
        self, prompts: Sequence[str], latents: Tensor, schedule: Schedule
    ) -> Denoise | None:
        """What ``generate`` is to contrast the model with, asked once for each batch.

        Args:
            prompts: b prompts.
            latents: (b, c, f, h, w), noise to start from.
            schedule: how latents are noised.

        Returns:
            Another denoiser; or None, by default, for the same model without the prompts.
        """
        return None

    @abstractmethod
    def __call__(self, conditional: Denoise, contrast: Denoise, x_t: Tensor, t: Tensor) -> Denoised:
        """Guided estimates for noisy latents (b, c, f, h, w) at times (b,), all of them one.

        What the network says of its variance is that of the conditional denoiser.
        """

    def acts(self, t: Tensor) -> bool:
        """Whether the scale is other than 1 at times (b,), all of them one."""
        low, high = self.interval
        always = (low, high) == (0, 1)  # without waiting for the device to tell the time
        return self.scale != 1 and (always or low <= float(t[0]) <= high)


class MakeGuidance(Protocol):
    """A guidance with everything set."""

    def __call__(self) -> Guidance: ...


def extrapolated(
    conditional: Denoised, contrast: Denoised, scale: float, channels: int | None = None
) -> Denoised:
    """``contrast + scale (conditional - contrast)``, in the first channels or all of them."""

    def mixed(with_prompt: Tensor, without: Tensor) -> Tensor:
        guided = without[:, :channels].lerp(with_prompt[:, :channels], scale)
        return guided if channels is None else torch.cat([guided, with_prompt[:, channels:]], 1)

    return Denoised(
        sample=mixed(conditional.sample, contrast.sample),
        noise=mixed(conditional.noise, contrast.noise),
        variance=conditional.variance,
    )
