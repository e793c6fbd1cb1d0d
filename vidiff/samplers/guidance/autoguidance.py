"""Autoguidance: a model guided by a bad version of itself (Karras et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Schedule
from vidiff.registry import register
from vidiff.samplers.base import Denoise
from vidiff.samplers.guidance.base import Guidance, extrapolated

if TYPE_CHECKING:
    from vidiff.training import DiffusionTask


@register("autoguidance")
class Autoguidance(Guidance):
    """``weaker + scale (model - weaker)``, both under the same prompt.

    The weaker model is smaller or was trained for less long, on the same videos: it errs where the
    model errs, only more so. Unlike classifier-free guidance, moving away from it takes no variety.

    Args:
        checkpoint: of the weaker model; it must make the same latents on the same schedule.
        scale: 1 follows the model as it is, above 1 moves away from the weaker model, which is
            asked once a step as well; about 2 in the paper.
        interval: times at which guidance acts; outside, the scale is 1.

    Raises:
        ValueError: unless 0 <= interval[0] <= interval[1] <= 1.
    """

    def __init__(
        self, checkpoint: str, scale: float = 2.0, interval: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        super().__init__(scale, interval)
        self.checkpoint = checkpoint
        self.loaded: list[DiffusionTask] = []  # at most one, which copies of this object share

    def contrast(
        self, prompts: Sequence[str], latents: Tensor, schedule: Schedule
    ) -> Denoise | None:
        """The weaker model, loaded when it is first asked for.

        Raises:
            ValueError: if the checkpoint holds no such model.
        """
        from vidiff.generation import conditioned

        if not self.loaded:
            self.loaded.append(self.load())
        task = self.loaded[0].to(latents.device)
        self.check(task, latents, schedule)
        with task.averaged() as parts:
            encoder = parts.get("text_encoder", task.text_encoder)
            network = conditioned(parts["denoiser"], encoder(prompts) if encoder else None)
        return lambda x_t, t: task.objective.denoise(network, x_t, t)

    def __call__(self, conditional: Denoise, contrast: Denoise, x_t: Tensor, t: Tensor) -> Denoised:
        """See the base class."""
        if not self.acts(t):
            return conditional(x_t, t)
        return extrapolated(conditional(x_t, t), contrast(x_t, t), self.scale)

    def load(self) -> DiffusionTask:
        """The task of the checkpoint, in evaluation mode and without gradients."""
        # Sampling itself needs no training framework.
        from vidiff.training import DiffusionTask
        from vidiff.training.loading import load

        task = load(self.checkpoint)
        if not isinstance(task, DiffusionTask):
            raise ValueError(
                f"autoguidance needs the checkpoint of a DiffusionTask, {self.checkpoint} holds "
                f"{type(task).__name__}"
            )
        return task.requires_grad_(False)

    def check(self, task: DiffusionTask, latents: Tensor, schedule: Schedule) -> None:
        """Refuse a model of other latents, or of another kind of noise.

        Raises:
            ValueError: with what differs.
        """
        channels = task.autoencoder.latent_channels
        if channels != latents.shape[1]:
            raise ValueError(
                f"autoguidance needs a model of the same latents: those of {self.checkpoint} have "
                f"{channels} channels, not {latents.shape[1]}"
            )
        t = torch.linspace(0, 1, 11)
        own = task.objective.schedule
        if not (
            torch.allclose(own.alpha(t), schedule.alpha(t), atol=1e-4)
            and torch.allclose(own.sigma(t), schedule.sigma(t), atol=1e-4)
        ):
            raise ValueError(
                f"autoguidance needs a model on the same schedule: {self.checkpoint} was trained "
                f"on {type(own).__name__}, not on {type(schedule).__name__} with these settings"
            )
