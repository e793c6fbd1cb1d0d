"""What training a task will take, before anything is trained.

The task is built on a fake device, where a model of any size takes no memory, and runs one step up
to its loss there. The time is an estimate; what a GPU's kernels keep is what torch knows of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from vidiff.autoencoders import Identity
from vidiff.training.base import Task, counting, each_part
from vidiff.training.fake_device import SMALL, fake_device, mixed_precision
from vidiff.types import Batch, Grid, LatentBatch, VideoBatch

Keep = Callable[[Any, Callable[[], int]], int]
"""What a function answers, told apart by a key."""

CAPTION = "a red square moves left over a dark background while the camera stays still"
"""What is read in the place of the dataset's captions."""

WEIGHTS = {
    "32-true": torch.float32, "bf16-mixed": torch.float32, "16-mixed": torch.float32,
    "bf16-true": torch.bfloat16, "16-true": torch.float16,
}  # fmt: skip
"""Type of the weights under each of the trainer's precisions."""

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Type that matrices are multiplied in, where it is another one."""

TFLOPS = {"a100": (312.0, 156.0, 19.5), "h100": (989.0, 495.0, 67.0), "h200": (989.0, 495.0, 67.0)}
"""Peak of dense matrix products in bf16 or fp16, in TF32, and in fp32 without it.

From NVIDIA's data sheets of A100 80GB (2021), H100 SXM (2023), H200 SXM (2024); where these count
sparse matrices, half of it.
"""


MOST_CLIPS = 2**17
"""Of a batch that is planned: captions are read one by one."""


@dataclass(frozen=True)
class Part:
    """Parameters of one part of a task.

    Attributes:
        trained: those that need a gradient.
        frozen: the others.
    """

    trained: int
    frozen: int


@dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Attributes:
        weights: parameters and buffers of all parts.
        gradients: of what is trained.
        optimizer: its state after a step.
        average: the moving average of the weights.
        activations: what the forward pass of one batch keeps for the backward pass, without the
            weights; in mixed precision with the copies of weights in the lower one.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int

    @property
    def total(self) -> int:
        """All of it, the most that is held at once."""
        return self.weights + self.gradients + self.optimizer + self.average + self.activations


@dataclass(frozen=True)
class Costs:
    """What one optimizer step takes.

    Attributes:
        clip: frames, height and width of a clip.
        latents: channels, frames, height and width of its latents; None without an autoencoder.
        clips_per_step: clips on all devices together.
        tokens_per_clip: tokens of one clip; 0 where there are none.
        parts: parameters by part, without the moving average.
        average: parameters of the moving average.
        flops: floating-point operations of a step on one device, a multiply-add counted as two:
            the forward pass of what is frozen, and three times that of what is trained.
        optimizer_flops: those of the optimizer's matrix products, which Muon has, on one device.
        memory: bytes on one device.
    """

    clip: Grid
    latents: tuple[int, int, int, int] | None
    clips_per_step: int
    tokens_per_clip: int
    parts: dict[str, Part]
    average: int
    flops: int
    optimizer_flops: int
    memory: Memory

    @property
    def tokens_per_step(self) -> int:
        """Tokens on all devices together."""
        return self.tokens_per_clip * self.clips_per_step

    def seconds_per_step(self, tflops: float, utilisation: float) -> float:
        """Time of a step where devices reach this share of ``tflops`` x 10^12 operations a second.

        Raises:
            ValueError: if either number is out of its range.
        """
        if tflops <= 0:
            raise ValueError(f"the peak must be positive, got {tflops} TFLOP/s")
        if not 0 < utilisation <= 1:
            raise ValueError(f"utilisation is a share in (0, 1], got {utilisation}")
        return (self.flops + self.optimizer_flops) / (tflops * 1e12 * utilisation)


def plan(
    task: Task,
    *,
    clip: Grid,
    batch_size: int,
    device: str = "cuda",
    precision: str = "32-true",
    num_devices: int = 1,
    sharded: bool = False,
    accumulate: int = 1,
    caption: str | None = None,
) -> Costs:
    """Build a task on a fake device, and find out what a step takes.

    Args:
        task: a task whose parts are not built yet; it is of no use afterwards.
        clip: frames, height and width of a clip.
        batch_size: clips in a batch of one device.
        device: ``cpu`` or ``cuda``.
        precision: as the trainer calls it.
        num_devices: devices that train together.
        sharded: whether they share what belongs to the trained weights among them (FSDP), instead
            of having all of it each.
        accumulate: batches of a device before the optimizer steps.
        caption: what every clip's caption is; ``CAPTION`` by default, or an empty one where the
            text encoder takes no words.

    Raises:
        ValueError: if the precision is not known, a count is below 1, the size does not fit the
            model, or a part looks at values of tensors to decide what to compute.
    """
    for name, count in {
        "num_frames": clip[0], "height": clip[1], "width": clip[2],
        "batch_size": batch_size, "num_devices": num_devices, "accumulate": accumulate,
    }.items():  # fmt: skip
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")
    if batch_size > MOST_CLIPS:
        raise ValueError(
            f"batch_size {batch_size:,} is more than a device could hold: plan {MOST_CLIPS:,} "
            "clips or fewer; time and memory grow with them in proportion"
        )
    if precision not in WEIGHTS:
        raise ValueError(f"no plan for the precision {precision!r}; known: {', '.join(WEIGHTS)}")
    dtype = WEIGHTS[precision]
    small = max(SMALL, batch_size)  # a task may draw a number for each clip
    with fake_device(device, small) as place, _default_type(dtype), _explained():
        with place:  # as Lightning does for a strategy that shards nothing
            task.configure_model()
        task.train()
        # Zeros, as small tensors of a fake CPU have values, which must be finite.
        pixels = torch.zeros(batch_size, _channels(task), *clip, device=place, dtype=dtype)
        captions = [readable(task) if caption is None else caption] * batch_size
        batch = VideoBatch(pixels, captions, [""] * batch_size)
        latents = _latents(task, clip)
        tokens = task.tokens_per_clip(batch)
        flops = task.count_flops(batch)
        held = [*task.parameters(), *task.buffers()]
        with mixed_precision(place, AUTOCAST.get(precision)), _unlogged(task):
            activations = saved_bytes(lambda: task.training_step(batch, 0), beside=held)
        optimizer, optimizer_flops = optimizer_costs(task)
        return Costs(
            clip=clip,
            latents=latents,
            clips_per_step=batch_size * accumulate * num_devices,
            tokens_per_clip=tokens,
            parts=_parts(task),
            average=sum(p.numel() for p in _parameters([task.ema])),
            flops=flops * accumulate,
            optimizer_flops=optimizer_flops,
            memory=_memory(task, num_devices if sharded else 1, optimizer, activations),
        )


def count_batch(
    task: Task,
    *,
    clip: Grid,
    batch_size: int,
    encoded: bool = False,
    caption: str | None = None,
) -> tuple[int, int]:
    """Count what a batch takes in a task that was built on the meta device, as ``plan`` counts it.

    Meta tensors do not pretend to be on a device: they are several times as fast as fake ones, but
    do not show what is kept for the backward pass.

    Args:
        task: what is counted.
        clip: frames, height and width of a clip.
        batch_size: clips in the batch.
        encoded: whether it holds latents, so that no autoencoder runs.
        caption: of every clip; ``readable(task)`` by default.

    Returns:
        ``Costs.tokens_per_clip`` and ``Costs.flops``.

    Raises:
        ValueError: if the size does not fit the model.
        RuntimeError: if a part needs more of a tensor than its shape; ``plan`` may still do.
    """
    task.train()
    if caption is None:
        caption = readable(task)
    captions, ids = [caption] * batch_size, [str(k) for k in range(batch_size)]
    batch: Batch = VideoBatch(
        torch.zeros(batch_size, _channels(task), *clip, device="meta"), captions, ids
    )
    if encoded and (shape := _latents(task, clip)):
        batch = LatentBatch(torch.zeros(batch_size, *shape, device="meta"), clip, captions, ids)
    return task.tokens_per_clip(batch), task.count_flops(batch)


def saved_bytes(forward: Callable[[], Any], beside: Iterable[Tensor] = ()) -> int:
    """Bytes that autograd keeps for the backward pass of ``forward``, each storage counted once.

    Args:
        forward: what is run.
        beside: tensors that are there anyway, such as weights.
    """
    storages: dict[int, torch.UntypedStorage] = {}
    apart = {_address(tensor) for tensor in beside}

    def pack(tensor: Tensor) -> Tensor:
        storages[_address(tensor)] = tensor.untyped_storage()
        return tensor

    with (
        torch.compiler.set_stance("force_eager"),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        result = forward()
    kept = sum(s.nbytes() for address, s in storages.items() if address not in apart)
    del result  # with it would go what the graph holds, and addresses be used again
    return kept


def optimizer_costs(task: Task) -> tuple[int, int]:
    """Bytes of the optimizer's state, and floating-point operations of its matrix products.

    It takes one step, with gradients of zero.
    """
    parts = list(task.trained_parts().values())
    trained = [p for p in _parameters(parts) if p.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = task.make_optimizer().build(parts)
    with counting() as counter:
        optimizer.step()
    for parameter in trained:
        parameter.grad = None
    state = _bytes(value for held in optimizer.state.values() for value in held.values())
    return state, counter.get_total_flops()


def optimizer_products(task: Task, keep: Keep) -> int:
    """The operations of ``optimizer_costs``, for a task that was built on the meta device.

    One parameter stands for all of its shape in its group: optimizers treat them one by one.

    Args:
        task: what is counted.
        keep: is given a group's settings and a shape, and what counts one parameter of these; may
            know the answer from another task with the same optimizer.
    """
    optimizer = task.make_optimizer().build(list(task.trained_parts().values()))
    total = 0
    for group in optimizer.param_groups:
        group["fused"] = False  # there are no such kernels, and no products in them
        settings = repr(sorted((k, v) for k, v in group.items() if k not in ("params", "lr")))
        alike: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            alike.setdefault(tuple(parameter.shape), []).append(parameter)
        for shape, those in alike.items():
            count = partial(_products, optimizer, those[0])
            total += len(those) * keep((settings, shape), count)
    return total


def _products(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> int:
    """Of a step in which one parameter alone has a gradient."""
    parameter.grad = torch.zeros_like(parameter)
    with counting() as counter:
        optimizer.step()
    parameter.grad = None
    return counter.get_total_flops()


def _memory(task: Task, divided: int, optimizer: int, activations: int) -> Memory:
    trained = list(_parameters(task.trained_parts().values()))
    # The project's sharding spreads the parameters of trained parts, and nothing else.
    shared = _bytes(trained)
    whole = _bytes([*_outside_average(task.named_parameters())])
    buffers = _bytes([*_outside_average(task.named_buffers())])
    average = [task.ema] if task.ema is not None else []
    averaged = _bytes(_parameters(average))
    return Memory(
        weights=whole - shared + -(-shared // divided) + buffers,
        gradients=-(-_bytes(p for p in trained if p.requires_grad) // divided),
        optimizer=-(-optimizer // divided),
        average=-(-averaged // divided) + _bytes(b for part in average for b in part.buffers()),
        activations=activations,
    )


def _parts(task: Task) -> dict[str, Part]:
    """What is trained first; parts without parameters are left out."""
    children = {name: part for name, part in task.named_children() if name != "ema"}
    parts = {}
    for name, part in each_part(task.trained_parts() | children).items():
        trained = sum(p.numel() for p in part.parameters() if p.requires_grad)
        frozen = sum(p.numel() for p in part.parameters() if not p.requires_grad)
        if trained + frozen:
            parts[name] = Part(trained, frozen)
    return parts


def _parameters(modules: Iterable[nn.Module | None]) -> Iterator[nn.Parameter]:
    for module in modules:
        yield from module.parameters() if module is not None else ()


def _outside_average(named: Iterable[tuple[str, Tensor]]) -> Iterator[Tensor]:
    return (tensor for name, tensor in named if not name.startswith("ema."))


def _bytes(values: Iterable[Any]) -> int:
    """Bytes of tensors, each storage counted once; other values count nothing."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    return sum({_address(t): t.untyped_storage().nbytes() for t in tensors}.values())


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _channels(task: Task) -> int:
    """Channels of the clips: 3, but for a model whose autoencoder is kept elsewhere."""
    autoencoder = getattr(task, "autoencoder", None)
    return autoencoder.latent_channels if isinstance(autoencoder, Identity) else 3


def _latents(task: Task, clip: Grid) -> tuple[int, int, int, int] | None:
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


@contextmanager
def _default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _unlogged(task: Task) -> Iterator[None]:
    """A step without a trainer to log to."""
    task.finish_step = lambda terms, batch_size: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del task.finish_step


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise ValueError(
            f"a plan has shapes but no values, and a part of this model decides by values what to "
            f"compute ({error.func}): it cannot be planned"
        ) from error
