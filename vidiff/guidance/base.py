"""Guidance interface: a model asked with and without its conditions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.model import Model, known_of
from vidiff.registry import kind, nearest
from vidiff.types import Inputs, Known, Signals, num_clips


@dataclass(eq=False)
class Steered:
    """A model under the conditions of b clips, which can be left out by name."""

    model: Model  # in evaluation mode
    inputs: Inputs
    negative: str = ""  # a prompt in the place of the empty one wherever captions are left out

    def __call__(self, x_t: Tensor, t: Tensor, without: Collection[str] = ()) -> Denoised:
        """Estimates for noisy latents (b, c, f, h, w) at t, (b,), or (b, f) where frames are known.

        Conditions named in ``without`` are unconditional; ``self.names`` are all.
        """
        signals = dict(self.signals)
        for name in without:
            signals[name] = self.unconditional[name]
        return self.model.denoise(x_t, t, signals)

    @property
    def names(self) -> list[str]:
        """The model's conditions."""
        return list(self.model.conditions)

    @cached_property
    def signals(self) -> Signals:
        """Of the conditions as given."""
        return self.model.signals(self.inputs)

    @cached_property
    def unconditional(self) -> Signals:
        """Of the conditions left out; computed only if guidance asks."""
        captions, drop = self.inputs.get("caption"), torch.ones(num_clips(self.inputs)).bool()
        if not self.negative or captions is None:
            return self.model.signals(self.inputs, dict.fromkeys(self.names, drop))
        others = {
            name: drop
            for name, condition in self.model.each_condition().items()
            if "caption" not in condition.reads
        }
        negative = {**self.inputs, "caption": [self.negative] * len(captions)}
        return self.model.signals(negative, others)

    @property
    def known(self) -> Known | None:
        """Parts of the latents that conditions give away."""
        return known_of(self.signals)

    def of(self, other: Model) -> Steered:
        """Another model under the same conditions."""
        return Steered(other, self.inputs, self.negative)

    def check(self, names: Collection[str], what: str) -> None:
        """Refuse names that are no conditions of the model, with the nearest and all known ones."""
        for name in names:
            if name not in self.names:
                known = ", ".join(self.names) or "none"
                raise ValueError(
                    f"{what}: this model has no condition {name!r}{nearest(name, self.names)}; it "
                    f"has {known}"
                )


@kind("guidance")
@dataclass(eq=False)
class Guidance(ABC):
    """Joins estimates of a model with those of a contrast, which is worse in some way.

    Args:
        scale: 1 follows the model as it is and asks it once a step; above 1 moves away from the
            contrast, which costs a second call; 0 is the contrast.
        interval: times within [0, 1] at which guidance acts; outside, the scale is 1 (Kynkäänniemi
            et al. 2024).
        negative: a prompt to move away from, in the place of the empty one.
    """

    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    negative: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.interval[0] <= self.interval[1] <= 1:
            got = list(self.interval)
            raise ValueError(f"interval must be ordered and within [0, 1], got {got}")

    def check(self, steered: Steered) -> None:  # noqa: B027 -- most have nothing to refuse
        """Refuse a model that it cannot guide, before a walk; none by default."""

    @abstractmethod
    def __call__(self, steered: Steered, x_t: Tensor, t: Tensor) -> Denoised:
        """Guided estimates for noisy latents; the variance is the model's under all conditions.

        Args:
            steered: the model under its conditions, asked as often as the rule needs.
            x_t: (b, c, f, h, w).
            t: (b,), all of them one; or (b, f), 0 where frames are known.
        """

    def acts(self, t: Tensor) -> bool:
        """Whether the scale is other than 1 at these times."""
        return self.scale != 1 and self.within(t)

    def within(self, t: Tensor) -> bool:
        """Whether the times are within the interval."""
        low, high = self.interval
        # Where every time is within, the device is not waited for.
        return (low, high) == (0, 1) or low <= float(t.max()) <= high


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

    x0, noise = mixed(conditional.x0, contrast.x0), mixed(conditional.noise, contrast.noise)
    return Denoised(x0, noise, conditional.variance)
