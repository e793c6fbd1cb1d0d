"""A trained model: autoencoder, conditions, denoiser, objective; without a training framework."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidiff.autoencoders import Autoencoder, Identity, MakeAutoencoder
from vidiff.checkpoints import Checkpoint, part_weights, read_checkpoint, task_node
from vidiff.conditions import Condition, MakeCondition, Words
from vidiff.conditions.base import each_condition
from vidiff.config_nodes import build_class, made
from vidiff.denoisers import Denoiser, DiT, MakeDenoiser
from vidiff.diffusion import Denoised, Network, Objective
from vidiff.diffusion.loss_weights import Constant, MakeLossWeight
from vidiff.diffusion.predictions import Flow, MakePrediction
from vidiff.diffusion.schedules import MakeSchedule, Rectified
from vidiff.diffusion.time_samplers import LogitNormal, MakeTimeSampler
from vidiff.external import check_named, leave_out, named
from vidiff.types import Batch, Inputs, Known, LatentBatch, Signals, Size

Drop = Mapping[str, Tensor]
"""By the condition's name: (b,), True for clips that get its unconditional signal; on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Factories:
    """Everything that a model is built of, as ``DiffusionTask`` takes it."""

    denoiser: MakeDenoiser = DiT
    autoencoder: MakeAutoencoder = Identity
    conditions: dict[str, MakeCondition] = field(
        default_factory=lambda: {"text": Words}  # type: ignore[dict-item]  # names what it needs
    )
    schedule: MakeSchedule = Rectified
    prediction: MakePrediction = Flow
    time_sampler: MakeTimeSampler = LogitNormal
    loss_weight: MakeLossWeight = Constant
    learn_variance: bool = False

    def make_encoders(self) -> tuple[Autoencoder, nn.ModuleDict]:
        """The autoencoder and the conditions; ``ValueError`` if one of them cannot be called so."""
        autoencoder = self.autoencoder()
        autoencoder = getattr(autoencoder, "inner", autoencoder).requires_grad_(False)
        leave_out(autoencoder, self.autoencoder)
        conditions = nn.ModuleDict()
        for name, factory in self.conditions.items():
            if not name.isidentifier() or hasattr(conditions, name) or name == "all":
                raise ValueError(
                    f"a condition cannot be called {name!r}: take a word of letters, digits and _ "
                    "that is no method of a dictionary and not 'all'"
                )
            conditions[name] = made(factory, autoencoder=autoencoder)
            if conditions[name].frozen:
                conditions[name].requires_grad_(False)
                leave_out(conditions[name], factory)
        return autoencoder, conditions

    def make_denoiser(self, autoencoder: Autoencoder, conditions: nn.ModuleDict) -> Denoiser:
        """The network between them."""
        channels = autoencoder.latent_channels
        return made(
            self.denoiser,
            in_channels=channels,
            out_channels=2 * channels if self.learn_variance else channels,
            signals={name: condition.dims for name, condition in conditions.items()},
        )

    def make_objective(self) -> Objective:
        """What the network was trained for."""
        return Objective(
            self.schedule(), self.prediction(), self.time_sampler(), self.loss_weight(),
            self.learn_variance,
        )  # fmt: skip


class Model(nn.Module):
    """What a checkpoint of a ``DiffusionTask`` holds; ``conditions`` by name."""

    conditions: nn.ModuleDict

    def __init__(
        self,
        autoencoder: Autoencoder,
        conditions: nn.ModuleDict,
        denoiser: Denoiser,
        objective: Objective,
    ) -> None:
        super().__init__()
        self.autoencoder, self.conditions = autoencoder, conditions
        self.denoiser, self.objective = denoiser, objective

    @classmethod
    def build(cls, factories: Factories) -> Model:
        """A new model, with random weights."""
        autoencoder, conditions = factories.make_encoders()
        denoiser = factories.make_denoiser(autoencoder, conditions)
        return cls(autoencoder, conditions, denoiser, factories.make_objective())

    def each_condition(self) -> dict[str, Condition]:
        """The conditions by name."""
        return each_condition(self.conditions)

    @property
    def weight(self) -> nn.Parameter:
        """A parameter of the network, for its device and precision."""
        return next(self.denoiser.parameters())

    def latent_shape(self, size: Size) -> tuple[int, int, int, int]:
        """(c, f, h, w) of the latents of clips of ``size``: frames, height and width in pixels."""
        return (self.autoencoder.latent_channels, *self.autoencoder.latent_size(*size))

    def signals(
        self,
        inputs: Inputs,
        drop: Drop | None = None,
        held: Signals | None = None,
        only: Collection[str] | None = None,
    ) -> Signals:
        """The signals of the conditions, for b clips.

        Args:
            drop: clips that get the unconditional signal, by the condition's name.
            held: signals that are known already, which no condition has to compute.
            only: names of the conditions; None for all.

        Raises:
            ValueError: if a condition reads an input that is not there.
        """
        device, dtype = self.weight.device, self.weight.dtype
        inputs = {
            k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v
            for k, v in inputs.items()
        }

        def placed(x: Tensor) -> Tensor:
            lower = x.dtype == torch.float32 != dtype  # what is bf16 throughout takes no float32
            return x.to(device=device, dtype=dtype if lower else None, non_blocking=True)

        found: Signals = {}
        for name, condition in self.each_condition().items():
            if only is not None and name not in only:
                continue
            if held is not None and name in held:
                found[name] = held[name]
                continue
            check_inputs(name, condition, inputs)
            grad = torch.is_grad_enabled() and not condition.frozen
            with torch.set_grad_enabled(grad):
                found[name] = condition(inputs, (drop or {}).get(name)).map(placed)
        return found

    def num_tokens(self, size: Size) -> int:
        """Tokens of a clip of ``size``; 0 where the network has no patchifier."""
        patchifier = getattr(self.denoiser, "patchifier", None)
        if patchifier is None:
            return 0
        return math.prod(patchifier.grid(*self.autoencoder.latent_size(*size)))

    @torch.no_grad()
    def latents_of(self, batch: Batch) -> Tensor:
        """The latents of a batch: (b, c, f, h, w)."""
        if isinstance(batch, LatentBatch):
            return batch.latents
        return self.autoencoder.encode(batch.pixels)

    def signals_of(self, batch: Batch, latents: Tensor, drop: Drop | None = None) -> Signals:
        """The signals of a batch's clips, unconditional where dropped."""
        held: Signals = {}
        if isinstance(batch, LatentBatch):
            frozen = {name for name, part in self.conditions.items() if part.frozen}
            held = {name: signal for name, signal in batch.signals.items() if name in frozen}
            held = merged(held, batch.empty, drop or {})
        return self.signals(inputs_of(batch, latents), drop, held)

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Words of prompts that training never met, if the conditions can tell."""
        tell = [getattr(part, "unknown_words", None) for part in self.conditions.values()]
        return sorted({word for told in tell if told for word in told(prompts)})

    def network(self, signals: Signals) -> Network:
        """The denoiser under signals, for latents of any precision."""
        dtype = self.weight.dtype
        return lambda x, t: self.denoiser(x.to(dtype), t, signals)

    def denoise(self, x_t: Tensor, t: Tensor, signals: Signals) -> Denoised:
        """Estimates of clean latents and noise from ``x_t`` (b, c, f, h, w), t (b,) or (b, f)."""
        return self.objective.denoise(self.network(signals), x_t, t)


def inputs_of(batch: Batch, latents: Tensor) -> Inputs:
    """What conditions read of a batch's clips while training."""
    return {**batch.inputs, "latents": latents, "latent_shape": tuple(latents.shape[1:])}


def known_of(signals: Signals) -> Known | None:
    """What conditions give away of the clips, together."""
    found = [signal.known for signal in signals.values() if signal.known is not None]
    return functools.reduce(_both, found) if found else None


def _both(first: Known, second: Known) -> Known:
    return Known(second.put(first.latents), torch.maximum(first.mask, second.mask))


@torch.no_grad()
def known_start(model: Model, pixels: Tensor, size: Size) -> Known:
    """Clips of a size (frames, height, width in pixels) that begin with given frames.

    Args:
        pixels: (b, 3, h, w) or (b, 3, k, h, w) in [-1, 1], the first frames of b clips.

    Raises:
        ValueError: if the frames have another size, or are no whole number of latent frames.
    """
    pixels = pixels.unsqueeze(2) if pixels.ndim == 4 else pixels
    num_frames, height, width = pixels.shape[2:]
    if (height, width) != size[1:] or num_frames > size[0]:
        raise ValueError(
            f"the clips are {size[0]} frames of {size[1]} x {size[2]}, and begin with {num_frames} "
            f"of {height} x {width}: scale these, or ask for clips of their size"
        )
    weight = model.weight
    first = model.autoencoder.encode(pixels.to(weight)).float()
    b, (c, f, h, w) = len(pixels), model.latent_shape(size)
    latents, mask = first.new_zeros(b, c, f, h, w), first.new_zeros(b, 1, f, h, w)
    latents[:, :, : first.shape[2]], mask[:, :, : first.shape[2]] = first, 1
    return Known(latents, mask)


def check_inputs(name: str, condition: Condition, inputs: Inputs) -> None:
    """Refuse (``ValueError``) a condition whose inputs are missing; names all that are given."""
    missing = [
        key for key in condition.reads if key not in condition.optional and inputs.get(key) is None
    ]
    if missing:
        given = ", ".join(sorted(key for key in inputs if key != "latent_shape")) or "none"
        raise ValueError(
            f"condition {name!r} ({type(condition).__name__}) reads {', '.join(missing)}, and the "
            f"inputs given are {given}: give {missing[0]!r} with the clips (a dataset's inputs) or "
            "in the call"
        )


def factories_of(checkpoint: Checkpoint) -> Factories:
    """What the model of a checkpoint is built of, by plain values.

    Raises:
        ValueError: if it is not the checkpoint of a ``DiffusionTask``, or a part is not known.
    """
    arguments = task_node(checkpoint)["init_args"]
    if "denoiser" not in arguments:
        raise ValueError(f"it holds {task_node(checkpoint)['class_path']}, which is no model")
    names = {part.name for part in fields(Factories)}
    return build_class(Factories, {k: v for k, v in arguments.items() if k in names})


def load_model(path: str | Path, plugins: Sequence[str] = ()) -> Model:
    """The model of a checkpoint: averaged weights, in evaluation mode, on the CPU, no gradients.

    Args:
        path: a checkpoint file, or the folder of a sharded one.
        plugins: files or modules that hold classes which the model needs.

    Raises:
        ValueError: if it cannot be read or rebuilt, a folder that it names is missing or has other
            weights, or its own do not fit.
    """
    from vidiff.plugins import load_all

    load_all(plugins)
    checkpoint = read_checkpoint(path)
    try:
        model = Model.build(factories_of(checkpoint))
        model.load_state_dict(model_weights(checkpoint, model))
        nodes = task_node(checkpoint)["init_args"]
        check_named(checkpoint.get("named", {}), named(model.autoencoder, model.conditions, nodes))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be loaded as a model: {error}") from error
    return model.eval().requires_grad_(False)


def model_weights(checkpoint: Checkpoint, model: Model) -> dict[str, Any]:
    """The weights of a model's parts: averaged ones where they were kept."""
    parts = ["autoencoder", "denoiser", *(f"conditions.{name}" for name in model.conditions)]
    return {
        f"{part}.{name}": value
        for part in parts
        for name, value in part_weights(checkpoint, part).items()
    }


def merged(signals: Signals, empty: Signals, drop: Drop) -> Signals:
    """Signals that are held already, unconditional where dropped."""
    found = dict(signals)
    for name, signal in signals.items():
        dropped = drop.get(name)
        if dropped is not None and dropped.any():
            found[name] = signal.replaced(empty[name], dropped)
    return found
