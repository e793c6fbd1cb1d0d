"""Sampling from the model of a task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from vidiff.checks import at_least
from vidiff.conditions import Labels
from vidiff.generation import Sampling, check_lengths, generate
from vidiff.guidance import Guidance
from vidiff.model import Model
from vidiff.samplers import Sampler
from vidiff.seeds import clip_seed
from vidiff.types import Grid, Signals


@dataclass
class PromptBatch:
    """Videos to sample together.

    Attributes:
        prompts: b strings.
        indices: their places in the whole list.
        seed: with a place, decides a video's noise.
        sampling: how.
        inputs: what is known of the videos besides their prompts.
        exact: leave mixed precision off, see ``VidiffTrainer.sample``.
    """

    prompts: list[str]
    indices: list[int]
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    inputs: dict[str, Any] = field(default_factory=dict)
    exact: bool = True

    def __len__(self) -> int:
        return len(self.prompts)


class Sampled(LightningModule):
    """What a task makes with its averaged model: videos, and the denoiser's own output."""

    sampler: Sampler
    guidance: Guidance
    clip_size: Grid | None

    @abstractmethod
    def averaged(self) -> AbstractContextManager[Model]:
        """The model with averaged weights if there are any, in evaluation mode."""

    def predict_step(self, batch: PromptBatch, batch_idx: int) -> Tensor:
        """Sample the videos of a batch."""
        mixed = (
            nullcontext() if not batch.exact else torch.autocast(self.device.type, enabled=False)
        )
        with mixed:
            return self.sample(
                batch.prompts, indices=batch.indices, seed=batch.seed, inputs=batch.inputs,
                sampling=batch.sampling,
            )  # fmt: skip

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        decode: bool = True,
        inputs: Mapping[str, Any] | None = None,
        sampling: Sampling | None = None,
        **settings: Any,
    ) -> Tensor:
        """Make one video per prompt, with the averaged weights.

        Args:
            prompts: b prompts.
            seed: with the place of a prompt in the list, decides its video's noise.
            indices: places of the prompts in a longer list that they are part of.
            batch_size: prompts at a time; all at once, by default.
            decode: False gives latents, as the denoiser made them.
            inputs: what else is known of the b videos, as the model's conditions read it: an
                ``image`` (b, 3, h, w) that they begin with.
            sampling: size, steps, scale and decoding; or each by name, as in ``num_steps=20``.
            settings: see ``Sampling``.

        Returns:
            Pixels (b, 3, f, h, w) within [-1, 1]; or latents (b, c, f, h, w).

        Raises:
            ValueError: if there is no prompt, no size is known or it does not fit, an input is
                missing, or the model has no autoencoder that could decode.
        """
        if isinstance(prompts, str) or not prompts:
            raise ValueError(f"prompts must be a list of at least one prompt, got {prompts!r}")
        at_least(1, batch_size=batch_size)
        self.configure_model()
        sampling = replace(sampling or Sampling(), **settings).sized(self.clip_size)
        sampler, guidance = sampling.adjusted(self.sampler, self.guidance)
        indices = range(len(prompts)) if indices is None else indices
        seeds = [clip_seed(seed, index) for index in indices]
        step = len(prompts) if batch_size is None else batch_size
        known = {"caption": list(prompts), **(inputs or {})}
        check_lengths(known, len(prompts))
        with self.averaged() as model:
            videos = [
                generate(
                    model, {name: value[i : i + step] for name, value in known.items()},
                    sampler=sampler, guidance=guidance, size=sampling.size,
                    seeds=seeds[i : i + step], decode=decode, decode_tile=sampling.decode_tile,
                    decode_frames=sampling.decode_frames,
                )
                for i in range(0, len(prompts), step)
            ]  # fmt: skip
        return torch.cat(videos)

    @torch.no_grad()
    def denoise(
        self,
        latents: Tensor,
        t: Tensor,
        labels: Tensor | Sequence[int] | None = None,
        prompts: Sequence[str] | None = None,
    ) -> Tensor:
        """The denoiser's own output, with the averaged weights if there are any.

        Args:
            latents: (b, c, f, h, w), noisy.
            t: (b,) or (b, f), in the units that the denoiser was trained with
                (``Schedule.network_time``).
            labels: b numbers of classes, for a model with a condition ``labels``.
            prompts: b prompts; empty ones if neither these nor labels are given.

        Returns:
            (b, c, f, h, w), with twice the channels where the variance is learned.

        Raises:
            ValueError: if both labels and prompts are given, or the model takes none.
        """
        self.configure_model()
        if labels is not None and prompts is not None:
            raise ValueError("give labels or prompts, not both")
        with self.averaged() as model:
            held: Signals = {}
            if labels is not None:
                found = {n: c for n, c in model.conditions.items() if isinstance(c, Labels)}
                if not found:
                    raise ValueError(
                        "labels need a model with a condition 'labels', this one has "
                        f"{', '.join(model.conditions) or 'none'}; give prompts"
                    )
                held = {n: c.embed(torch.as_tensor(labels)) for n, c in found.items()}
            elif prompts is not None and not model.conditions:
                raise ValueError("this model was trained without conditions: give no prompts")
            inputs = {
                "caption": prompts or [""] * len(latents),
                "latent_shape": tuple(latents.shape[1:]),
            }
            return model.network(model.signals(inputs, held=held))(latents, t)

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Words of prompts that training never met, if the conditions can tell."""
        with self.averaged() as model:
            tell = [getattr(part, "unknown_words", None) for part in model.conditions.values()]
        return sorted({word for told in tell if told for word in told(prompts)})
