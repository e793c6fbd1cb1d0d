"""The costs of a training step, before anything is trained.

The task is built on a fake device, where a model of any size takes no memory, and runs one step up
to its loss there. The time is an estimate; what a GPU's kernels keep is what torch knows of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from vidiff.checks import at_least
from vidiff.costs.count import latents_of, optimizer_costs, readable, stand_in
from vidiff.costs.fake_device import SMALL, fake_device, mixed_precision
from vidiff.costs.memory import Memory, memory_of, saved_bytes
from vidiff.training.parts import Parameters, each_part, parts_of
from vidiff.training.task import Task
from vidiff.types import Size

WEIGHTS = {
    "32-true": torch.float32, "bf16-mixed": torch.float32, "16-mixed": torch.float32,
    "bf16-true": torch.bfloat16, "16-true": torch.float16,
}  # fmt: skip
"""Type of the weights under each of the trainer's precisions."""

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Type that matrices are multiplied in, where it is another one."""

MOST_CLIPS = 2**17  # of a batch that is planned: captions are read one by one


@dataclass(frozen=True)
class Costs:
    """What one optimizer step takes.

    Operations are floating-point ones of a step on one device, a multiply-add counted as two: the
    forward pass of what is frozen, and three times that of what is trained.
    """

    clip: Size
    latents: tuple[int, int, int, int] | None  # (c, f, h, w); None without an autoencoder
    clips_per_step: int  # on all devices together
    tokens_per_clip: int  # 0 where there are none
    parts: dict[str, Parameters]  # without the moving average
    average: int  # parameters of the moving average
    flops: int
    optimizer_flops: int  # of the optimizer's matrix products, which Muon has
    memory: Memory

    @property
    def tokens_per_step(self) -> int:
        """Tokens on all devices together."""
        return self.tokens_per_clip * self.clips_per_step

    def seconds_per_step(self, tflops: float, utilisation: float) -> float:
        """Time of a step where devices reach this share of ``tflops`` x 10^12 operations a second.

        A ``ValueError`` if either number is out of its range.
        """
        if tflops <= 0:
            raise ValueError(f"the peak must be positive, got {tflops} TFLOP/s")
        if not 0 < utilisation <= 1:
            raise ValueError(f"utilisation is a share in (0, 1], got {utilisation}")
        return (self.flops + self.optimizer_flops) / (tflops * 1e12 * utilisation)


def plan(
    task: Task,
    *,
    clip: Size,
    batch_size: int,
    device: str = "cuda",
    precision: str = "32-true",
    num_devices: int = 1,
    sharded: bool = False,
    accumulate: int = 1,
    caption: str | None = None,
) -> Costs:
    """Build a task on a fake device, and find out what a step takes.

    A ``ValueError`` if the precision is not known, a count is below 1, the size does not fit the
    model, or a part looks at values of tensors to decide what to compute.

    Args:
        task: a task whose parts are not built yet; it is of no use afterwards.
        batch_size: of one device.
        device: ``cpu`` or ``cuda``.
        precision: as the trainer calls it.
        sharded: whether devices share what belongs to the trained weights (FSDP).
        accumulate: batches of a device before the optimizer steps.
        caption: of every clip; ``CAPTION``, or an empty one where no condition reads words.
    """
    at_least(1, num_frames=clip[0], height=clip[1], width=clip[2])
    at_least(1, batch_size=batch_size, num_devices=num_devices, accumulate=accumulate)
    if batch_size > MOST_CLIPS:
        raise ValueError(
            f"batch_size {batch_size:,} is more than a device could hold: plan {MOST_CLIPS:,} "
            "clips or fewer; time and memory grow with them in proportion"
        )
    if precision not in WEIGHTS:
        raise ValueError(f"no plan for the precision {precision!r}; known: {', '.join(WEIGHTS)}")
    dtype = WEIGHTS[precision]
    small = max(SMALL, batch_size)  # a task may draw a number for each clip
    with fake_device(device, small) as place, _planned_in(dtype):
        with place:  # as Lightning does for a strategy that shards nothing
            task.configure_model()
        task.train()
        said = readable(task) if caption is None else caption
        batch = stand_in(task, clip, batch_size, said, place)
        flops = task.count_flops(batch)
        held = [*task.parameters(), *task.buffers()]
        unlogged = patch.object(task, "finish_step", lambda terms, batch_size: None)
        with mixed_precision(place, AUTOCAST.get(precision)), unlogged:
            activations = saved_bytes(lambda: task.training_step(batch, 0), beside=held)
        optimizer, optimizer_flops = optimizer_costs(task)
        return Costs(
            clip=clip,
            latents=latents_of(task, clip),
            clips_per_step=batch_size * accumulate * num_devices,
            tokens_per_clip=task.tokens_per_clip(batch),
            parts=_parts(task),
            average=Parameters.of(task.ema).total if task.ema else 0,
            flops=flops * accumulate,
            optimizer_flops=optimizer_flops,
            memory=memory_of(task, num_devices if sharded else 1, optimizer, activations),
        )


def _parts(task: Task) -> dict[str, Parameters]:
    """What is trained first; parts without parameters are left out."""
    parts = each_part(task.trained_parts() | parts_of(task))
    counts = {name: Parameters.of(part) for name, part in parts.items()}
    return {name: count for name, count in counts.items() if count.total}


@contextmanager
def _planned_in(dtype: torch.dtype) -> Iterator[None]:
    """New tensors have this type; what needs values of fake ones is refused."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise ValueError(
            f"a plan has shapes but no values, and a part of this model decides by values what to "
            f"compute ({error.func}): it cannot be planned"
        ) from error
    finally:
        torch.set_default_dtype(before)
