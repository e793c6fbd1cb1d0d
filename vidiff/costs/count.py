"""Tokens and operations of a training step and its optimizer; the batch that stands for data."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from vidiff.autoencoders import Identity
from vidiff.costs.memory import total_bytes
from vidiff.training.flops import counting
from vidiff.training.parts import Parameters
from vidiff.training.task import Task
from vidiff.types import Batch, LatentBatch, Size, VideoBatch

CAPTION = "a red square moves left over a dark background while the camera stays still"
"""What is read in the place of the dataset's captions."""

Keep = Callable[[Any, Callable[[], Any]], Any]
"""Memoisation: returns ``call()``, computed once per key."""


@dataclass(frozen=True)
class Clips:
    """What a model gets: batches of clips of each of these sizes, as pixels or latents already."""

    sizes: tuple[Size, ...]
    encoded: bool
    batch_size: int

    @property
    def largest(self) -> Size:
        """The size of most pixels."""
        return max(self.sizes, key=math.prod)


@dataclass(frozen=True)
class Counts:
    """What a model takes, as ``Costs`` does: its trained parameters, and by its largest clips."""

    parameters: int
    tokens_per_clip: int
    flops: int
    optimizer_flops: int


def count(task: Task, clips: Clips, keep: Keep) -> Counts:
    """Let a batch of each size through a task, which is built on the meta device, and a step.

    Meta tensors are several times as fast as fake ones, but do not show what is kept for the
    backward pass. ``keep`` serves all tasks of the same structure: those that differ only in
    learning rates or predictions. A ``ValueError`` if a size does not fit the model; a
    ``RuntimeError`` if a part needs more of a tensor than its shape, where ``plan`` may still do.
    """
    structure, optimizer = _structure(task), _without_rates(task.hparams.get("optimizer"))
    conditions = _content(getattr(task, "conditions", None))
    caption = keep(("caption", conditions), partial(readable, task))

    def keep_products(key: Any, call: Callable[[], int]) -> int:
        return keep(("parameter", optimizer, key), call)

    of_size = {}
    for size in clips.sizes:
        key = ("batch", structure, size, clips.batch_size, clips.encoded)
        of_size[size] = keep(key, partial(count_batch, task, clips, size, caption))
    step = partial(optimizer_products, task, keep_products)
    products = keep(("step", structure, optimizer), step)
    tokens, flops = of_size[clips.largest]
    return Counts(num_trained(task), tokens, flops, products)


def count_batch(task: Task, clips: Clips, size: Size, caption: str) -> tuple[int, int]:
    """Tokens of a clip of one size, and operations of a batch of these."""
    task.train()
    batch = stand_in(task, size, clips.batch_size, caption, "meta", clips.encoded)
    return task.tokens_per_clip(batch), task.count_flops(batch)


def stand_in(
    task: Task,
    clip: Size,
    batch_size: int,
    caption: str,
    device: torch.device | str,
    encoded: bool = False,
) -> Batch:
    """A batch of equal clips, of zeros; ``encoded`` ones are latents, so no autoencoder runs."""
    captions, ids = [caption] * batch_size, [str(k) for k in range(batch_size)]
    if encoded and (shape := latents_of(task, clip)):
        return LatentBatch(torch.zeros(batch_size, *shape, device=device), clip, captions, ids)
    autoencoder = getattr(task, "autoencoder", None)  # without one that counts, clips are latents
    channels = autoencoder.latent_channels if isinstance(autoencoder, Identity) else 3
    return VideoBatch(torch.zeros(batch_size, channels, *clip, device=device), captions, ids)


def latents_of(task: Task, clip: Size) -> tuple[int, int, int, int] | None:
    """Shape (c, f, h, w) of a clip's latents; None without an autoencoder."""
    autoencoder = getattr(task, "autoencoder", None)
    if autoencoder is None:
        return None
    return (autoencoder.latent_channels, *autoencoder.latent_size(*clip))


def readable(task: Task) -> str:
    """``CAPTION`` if the task's conditions can read it, else an empty one."""
    conditions = getattr(task, "conditions", None)
    readers = [part for part in (conditions or {}).values() if part.reads == ("caption",)]
    if not readers:
        return ""
    try:
        with torch.no_grad():
            for reader in readers:
                reader({"caption": [CAPTION]})
    except ValueError:  # names of classes, say
        return ""
    return CAPTION


def optimizer_costs(task: Task) -> tuple[int, int]:
    """Bytes of the optimizer's state, and floating-point operations of its matrix products."""
    optimizer = _build(task)
    flops = _step(optimizer, [p for group in optimizer.param_groups for p in group["params"]])
    state = total_bytes(value for held in optimizer.state.values() for value in held.values())
    return state, flops


def optimizer_products(task: Task, keep: Keep) -> int:
    """The operations of ``optimizer_costs``, for a task that was built on the meta device.

    One parameter stands for all of its shape in its group: optimizers treat them one by one.
    """
    optimizer = _build(task)
    total = 0
    for group in optimizer.param_groups:
        group["fused"] = False  # there are no such kernels, and no products in them
        settings = repr(sorted((k, v) for k, v in group.items() if k not in ("params", "lr")))
        alike: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            alike.setdefault(tuple(parameter.shape), []).append(parameter)
        for shape, those in alike.items():
            total += len(those) * keep((settings, shape), partial(_step, optimizer, those[:1]))
    return total


def _build(task: Task) -> Optimizer:
    return task.make_optimizer().build(list(task.trained_parts().values()))


def _step(optimizer: Optimizer, parameters: Sequence[nn.Parameter]) -> int:
    """Operations of a step in which only these parameters have gradients, of zero."""
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    with counting() as counter:
        optimizer.step()
    for parameter in parameters:
        parameter.grad = None
    return counter.get_total_flops()


def num_trained(task: Task) -> int:
    """Trained parameters of all parts."""
    return Parameters.of(task).trained


def _structure(task: Task) -> object:
    """Equal for tasks of equal plain settings and parts, down to the shapes of all weights."""
    plain = {k: v for k, v in vars(task).items() if isinstance(v, bool | int | float | str)}
    return _content((type(task), plain, dict(task.named_children())))


def _content(value: object) -> object:
    """A content hash; unique for values that cannot be pickled."""
    try:
        return hashlib.sha256(pickle.dumps(value)).hexdigest()
    except (AttributeError, TypeError, pickle.PicklingError):
        return object()


def _without_rates(optimizer: Any) -> str:
    """An optimizer's node without its learning rates, on which no count depends."""
    if not isinstance(optimizer, Mapping):
        return repr(optimizer)
    settings = (optimizer.get("init_args") or {}).items()
    return repr((optimizer["class_path"], {k: v for k, v in settings if "lr" not in k.split("_")}))
