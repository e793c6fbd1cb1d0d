"""Autoguidance: a model guided by a bad version of itself (Karras et al. 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.guidance.base import Guidance, Steered, extrapolated
from vidiff.model import Model, load_model
from vidiff.registry import register


@register("autoguidance")
class Autoguidance(Guidance):
    """``weaker + scale (model - weaker)``, both under the same conditions.

    The weaker model is smaller or was trained for less long, on the same videos: it errs where the
    model errs, only more so. Unlike classifier-free guidance, moving away from it takes no variety.

    Args:
        checkpoint: of the weaker model; it must make the same latents on the same schedule.
        scale: 1 follows the model as it is, above 1 moves away from the weaker model, which is
            asked once a step as well; about 2 in the paper.
    """

    def __init__(
        self, checkpoint: str, scale: float = 2.0, interval: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        super().__init__(scale, interval)
        self.checkpoint = checkpoint
        self.loaded: list[Model] = []  # at most one, which copies of this object share
        self._weaker: tuple[Steered, Steered] | None = None  # of the batch at hand

    def check(self, steered: Steered) -> None:
        """Refuse a weaker model of other latents, or of another kind of noise."""
        if self.scale == 1:
            return
        weaker = self.weaker().to(steered.model.weight.device)
        ours, theirs = (m.autoencoder.latent_channels for m in (steered.model, weaker))
        if ours != theirs:
            raise ValueError(
                f"autoguidance needs a model of the same latents: those of {self.checkpoint} have "
                f"{theirs} channels, not {ours}"
            )
        t = torch.linspace(0, 1, 11)
        schedule, own = steered.model.objective.schedule, weaker.objective.schedule
        if not (
            torch.allclose(own.alpha(t), schedule.alpha(t), atol=1e-4)
            and torch.allclose(own.sigma(t), schedule.sigma(t), atol=1e-4)
        ):
            raise ValueError(
                f"autoguidance needs a model on the same schedule: {self.checkpoint} was trained "
                f"on {type(own).__name__}, not on {type(schedule).__name__} with these settings"
            )

    def __call__(self, steered: Steered, x_t: Tensor, t: Tensor) -> Denoised:
        if not self.acts(t):
            return steered(x_t, t)
        if self._weaker is None or self._weaker[0] is not steered:
            self._weaker = steered, steered.of(self.weaker())
        return extrapolated(steered(x_t, t), self._weaker[1](x_t, t), self.scale)

    def weaker(self) -> Model:
        """The weaker model, loaded when it is first asked for."""
        if not self.loaded:
            self.loaded.append(load_model(self.checkpoint))
        return self.loaded[0]
