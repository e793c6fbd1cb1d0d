"""Sampling from a model, without a training framework."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from vidiff.autoencoders import decode_in_parts
from vidiff.checks import at_least
from vidiff.conditions import Labels
from vidiff.finite import FiniteNotes, bad_weight
from vidiff.guidance import Guidance, Steered
from vidiff.model import Model, known_start
from vidiff.samplers import Sampler
from vidiff.seeds import clip_seed
from vidiff.types import Inputs, Signals, Size


@dataclass  # not frozen: Lightning refuses to move a batch that holds a frozen one
class Sampling:
    """How a model is sampled from, beside its own sampler and guidance; None leaves a default.

    One for ``vidiff sample``, ``task.sample``, callbacks and ``sampling.json``.

    Attributes:
        num_frames: frames; those of the largest training clips, by default.
        height: in pixels, as the width; those of the largest training clips, by default.
        num_steps: steps of the sampler, instead of the model's own.
        guidance_scale: scale of the guidance, instead of the model's own.
        negative_prompt: what to move away from, in the place of the empty prompt.
        decode_tile: height and width, in latents, of tiles that are decoded one after the other and
            blended, so that memory does not grow with the frame.
        decode_frames: frames of latents decoded at a time, so that memory does not grow with the
            length; for autoencoders that can carry on where a chunk ends.

    Raises:
        ValueError: if a number is below 1.
    """

    num_frames: int | None = None
    height: int | None = None
    width: int | None = None
    num_steps: int | None = None
    guidance_scale: float | None = None
    negative_prompt: str | None = None
    decode_tile: int | None = None
    decode_frames: int | None = None

    def __post_init__(self) -> None:
        at_least(
            1, num_frames=self.num_frames, height=self.height, width=self.width,
            num_steps=self.num_steps, decode_tile=self.decode_tile,
            decode_frames=self.decode_frames,
        )  # fmt: skip

    @classmethod
    def picked(cls, settings: Mapping[str, Any]) -> Sampling:
        """Of a mapping that may hold more than these."""
        return cls(**{f.name: settings[f.name] for f in fields(cls) if f.name in settings})

    def sized(self, known: Size | None) -> Sampling:
        """With frames, height and width filled in from ``known``, or ``ValueError``."""
        f, h, w = known or (None, None, None)
        size = (self.num_frames or f, self.height or h, self.width or w)  # none may be 0
        made = replace(self, num_frames=size[0], height=size[1], width=size[2])
        if None in size:
            raise ValueError(
                f"size (num_frames, height, width) must be known, got {size}: this task has seen "
                "no clip, so give all three"
            )
        return made

    @property
    def size(self) -> Size:
        """Frames, height and width in pixels."""
        assert self.num_frames
        assert self.height
        assert self.width
        return self.num_frames, self.height, self.width

    def adjusted(self, sampler: Sampler, guidance: Guidance) -> tuple[Sampler, Guidance]:
        """A sampler and a guidance with these settings; ``ValueError`` if one has no such one."""
        sampler = _with(sampler, "num_steps", self.num_steps)
        guidance = _with(guidance, "scale", self.guidance_scale)
        return sampler, _with(guidance, "negative", self.negative_prompt)


@torch.no_grad()
def sample(
    model: Model,
    prompts: Sequence[str],
    *,
    sampler: Sampler,
    guidance: Guidance,
    clip_size: Size | None = None,
    seed: int = 0,
    indices: Sequence[int] | None = None,
    batch_size: int | None = None,
    decode: bool = True,
    inputs: Mapping[str, Any] | None = None,
    sampling: Sampling | None = None,
    **settings: Any,
) -> Tensor:
    """One video per prompt: (b, 3, f, h, w) within [-1, 1]; or its latents (b, c, f, h, w).

    Args:
        model: in evaluation mode.
        sampler: the model's own, as the guidance is; ``sampling`` changes settings of both.
        clip_size: frames, height and width that ``sampling`` leaves open.
        seed: with the place of a prompt in the list, decides its video's noise.
        indices: places of the prompts in a longer list that they are part of.
        batch_size: prompts at a time; all at once, by default.
        decode: False gives latents, as the denoiser made them.
        inputs: what else is known of the b videos, as the model's conditions read it: an
            ``image`` (b, 3, h, w) that they begin with.
        sampling: size, steps, scale and decoding; or each by name, as in ``num_steps=20``.
        settings: see ``Sampling``.

    Raises:
        ValueError: if there is no prompt, no size is known or it does not fit, an input is
            missing, or the model has no autoencoder that could decode.
    """
    if isinstance(prompts, str) or not prompts:
        raise ValueError(f"prompts must be a list of at least one prompt, got {prompts!r}")
    at_least(1, batch_size=batch_size)
    sampling = replace(sampling or Sampling(), **settings).sized(clip_size)
    sampler, guidance = sampling.adjusted(sampler, guidance)
    indices = range(len(prompts)) if indices is None else indices
    seeds = [clip_seed(seed, index) for index in indices]
    step = len(prompts) if batch_size is None else batch_size
    known = {"caption": list(prompts), **(inputs or {})}
    check_lengths(known, len(prompts))
    videos = [
        generate(
            model, {name: value[i : i + step] for name, value in known.items()},
            sampler=sampler, guidance=guidance, size=sampling.size, seeds=seeds[i : i + step],
            decode=decode, decode_tile=sampling.decode_tile, decode_frames=sampling.decode_frames,
        )
        for i in range(0, len(prompts), step)
    ]  # fmt: skip
    return torch.cat(videos)


@torch.no_grad()
def generate(
    model: Model,
    inputs: Inputs,
    *,
    sampler: Sampler,
    guidance: Guidance,
    size: Size,
    seeds: Sequence[int],
    decode: bool = True,
    decode_tile: int | None = None,
    decode_frames: int | None = None,
) -> Tensor:
    """Make b videos: (b, 3, f, h, w) within [-1, 1], or latents (b, c, f, h, w); float32.

    A clip's noise comes from a generator of its own, on the CPU, so that it depends neither on the
    clips next to it nor on the device.

    Args:
        model: in evaluation mode.
        inputs: what is known of the videos, b each: ``caption``, and what else the model's
            conditions read.
        size: frames, height and width of the video, in pixels.
        seeds: b numbers that decide each clip's noise, see ``vidiff.seeds.clip_seed``.
        decode: False gives latents, as the denoiser made them; see ``Sampling`` for the parts.

    Raises:
        ValueError: if the size does not fit, an input is missing, the autoencoder gives no pixels,
            or it cannot decode in such parts.
        FloatingPointError: if latents or pixels turn NaN or infinite; names the step, the tensor,
            and a weight that is not finite.
    """
    if "caption" in inputs and len(inputs["caption"]) != len(seeds):
        raise ValueError(f"{len(inputs['caption'])} prompts need as many seeds, got {len(seeds)}")
    check_lengths(inputs, len(seeds))
    if decode and model.autoencoder.pixel_channels != 3:
        raise ValueError(
            f"this model makes latents of {model.autoencoder.latent_channels} channels and has no "
            "autoencoder to decode them: call task.sample(..., decode=False) and decode them with "
            "their own"
        )
    shape, weight = model.latent_shape(size), model.weight
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def noise() -> Tensor:
        drawn = [torch.randn(shape, generator=g, dtype=torch.float32) for g in generators]
        return torch.stack(drawn).to(weight.device)

    inputs = {**inputs, "latent_shape": shape}
    if inputs.get("image") is not None and "known" not in inputs:
        readers = {name for part in model.each_condition().values() for name in part.reads}
        if not readers & {"known", "image"}:
            raise ValueError(
                "this model cannot begin with an image: train it with a condition 'frames'"
            )
        if "known" in readers:
            inputs["known"] = known_start(model, inputs["image"], size)
    steered = Steered(model, inputs, guidance.negative)
    guidance.check(steered)
    try:
        latents = sampler(
            lambda x_t, t: guidance(steered, x_t, t), noise(), model.objective.schedule, noise,
            steered.known,
        )  # fmt: skip
        if not decode:
            return latents.float()
        pixels = decode_in_parts(
            model.autoencoder, latents.to(weight.dtype), tile=decode_tile, frames=decode_frames
        )
        notes = FiniteNotes()
        notes.note("pixels that the autoencoder decoded, after the last step", pixels)
        notes.check()
    except FloatingPointError as error:
        raise FloatingPointError(f"sampling stops: {error}; {_advice(model)}") from None
    return pixels.float().clamp(-1, 1)


def check_lengths(inputs: Inputs, num_videos: int) -> None:
    """Refuse (``ValueError``) inputs that are not one for each video."""
    for name, value in inputs.items():
        if value is not None and len(value) != num_videos:
            raise ValueError(
                f"input {name!r} has {len(value)} entries for {num_videos} videos: give as many"
            )


@torch.no_grad()
def network_output(
    model: Model,
    latents: Tensor,
    t: Tensor,
    labels: Tensor | Sequence[int] | None = None,
    prompts: Sequence[str] | None = None,
) -> Tensor:
    """The denoiser's own output (b, c, f, h, w), with 2c where the variance is learned.

    Args:
        model: in evaluation mode.
        latents: (b, c, f, h, w), noisy.
        t: (b,) or (b, f), in the units of the denoiser (``Schedule.network_time``).
        labels: b numbers of classes, for a model with a condition ``labels``.
        prompts: b prompts; empty ones if neither these nor labels are given.

    Raises:
        ValueError: if both labels and prompts are given, or the model takes none.
    """
    if labels is not None and prompts is not None:
        raise ValueError("give labels or prompts, not both")
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
    shape = tuple(latents.shape[1:])
    inputs = {"caption": prompts or [""] * len(latents), "latent_shape": shape}
    return model.network(model.signals(inputs, held=held))(latents, t)


def _advice(model: Model) -> str:
    """Why sampling may have failed, and what to do."""
    parts: list[tuple[str, nn.Module]] = [
        ("denoiser", model.denoiser),
        *((f"conditions.{name}", part) for name, part in model.conditions.items()),
        ("autoencoder", model.autoencoder),
    ]
    if name := bad_weight(parts):
        return (
            f"the weight {name} is not finite itself: take a checkpoint from before training went "
            "wrong"
        )
    if model.weight.dtype == torch.float16:
        return "float16 ends at 65504: sample with --trainer.precision 32-true"
    return "all weights are finite: try a smaller guidance_scale, more steps or 32-true"


def _with(part: Any, name: str, value: Any) -> Any:
    """``part``, or a copy in which one setting differs."""
    if value is None:
        return part
    if not hasattr(part, name):
        raise ValueError(f"{type(part).__name__} has no {name} to set to {value}")
    part = copy.copy(part)
    setattr(part, name, value)
    return part
