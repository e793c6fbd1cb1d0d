"""A plugin with cheap metrics, one of which draws random numbers as it goes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accumulated import Brightness, Distance, Gap, Means
from torch import Tensor

from vidiff.registry import register


class Careless(Means):
    """Draws from every global generator, as a library might, and counts what it is given."""

    seen = 0

    def extract(self, clips: Tensor) -> dict[str, Tensor]:
        torch.rand(1)
        np.random.rand()
        random.random()
        Careless.seen += len(clips)
        return super().extract(clips)


@register("toy_brightness")
class ToyBrightness(Brightness):
    """How bright clips are.

    Args:
        gain: times so much.
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__(gain, "toy_brightness")
        self.features = Careless()


@register("toy_distance")
class ToyDistance(Distance):
    """How far sets are.

    Args:
        min_frames: that clips must have.
    """

    def __init__(self, min_frames: int = 2) -> None:
        super().__init__(score="toy_distance")
        self.features: Any = Careless()
        self.features.min_frames = min_frames


@register("toy_manners")
class ToyManners(Brightness):
    """Judges clips of polite prompts alone."""

    def __init__(self) -> None:
        super().__init__(score="toy_manners", needs_prompts=True)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        for number, prompt in enumerate(prompts, start=1):
            if "please" not in prompt:
                raise ValueError(f"toy_manners cannot judge prompt {number} of {len(prompts)}")


@register("toy_gap")
class ToyGap(Gap):
    """How far clips are from their partners."""
