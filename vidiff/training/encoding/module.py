"""The autoencoder and frozen conditions of a task, as Lightning runs them over a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from vidiff.checkpoints import Checkpoint, part_weights
from vidiff.conditions import Condition
from vidiff.conditions.base import each_condition, in_rows
from vidiff.data.cache_files import Table, distinct_captions, write_shard
from vidiff.data.cache_index import DTYPES, Index
from vidiff.finite import bad_weight
from vidiff.model import inputs_of
from vidiff.training.diffusion.task import DiffusionTask
from vidiff.training.encoding.jobs import Job
from vidiff.types import LatentSample, Signal, VideoBatch


class Encoding(LightningModule):
    """Encodes jobs and writes each shard when its last clip is there.

    The task's denoiser is never built. Weights of a checkpoint replace those of the config.
    """

    predict_description = "Encoding"
    index: Index

    def __init__(self, task: DiffusionTask, checkpoint: Checkpoint | None = None) -> None:
        super().__init__()
        self.task, self.checkpoint = task, checkpoint
        self._entries: dict[int, LatentSample] = {}

    def configure_model(self) -> None:
        task, checkpoint = self.task, self.checkpoint
        if hasattr(task, "autoencoder"):
            return
        if checkpoint is not None:
            task.encoders.adopt(checkpoint)
        with torch.random.fork_rng(devices=[]):  # as the task itself does
            torch.manual_seed(task.seed)
            task.build_encoders()
        conditions = {f"conditions.{name}": part for name, part in task.conditions.items()}
        parts = {"autoencoder": task.autoencoder, **conditions}
        if checkpoint is not None:
            for name, part in parts.items():
                if weights := part_weights(checkpoint, name):
                    part.load_state_dict(weights)
            task.encoders.check(checkpoint)
        if bad := bad_weight(parts.items()):
            raise FloatingPointError(
                f"encoding stops: the weight {bad} holds NaN or infinity; take a checkpoint from "
                "before training went wrong"
            )
        self.checkpoint = None

    def predict_step(self, job: Job, batch_idx: int) -> int:
        """Encode a batch, and write the shard that it completes; the number of its clips."""
        batch, sizes = job.batch, self.index.sizes
        encoded = self.task.autoencoder.encode(batch.pixels)
        inputs = inputs_of(batch, encoded)
        signals = {name: part(inputs) for name, part in self._frozen(by_caption=False).items()}
        latents = encoded.float().cpu()
        rows = zip(job.rows, latents, batch.captions, batch.ids, strict=True)
        for place, (row, *clip) in enumerate(rows):
            expected = sizes[row % len(sizes)]
            if batch.size != expected:
                raise ValueError(
                    f"clip {clip[2]!r} has frames, height and width {batch.size}, and the first "
                    f"clip has {expected}: a dataset of several sizes must say so (num_sizes)"
                )
            held = {name: in_rows(signal, place) for name, signal in signals.items()}
            self._entries[row] = LatentSample(clip[0], expected, clip[1], clip[2], held)
        if job.last:
            samples = [self._entries[row] for row in sorted(self._entries)]
            self._entries = {}
            write_shard(
                job.path, job.key, samples, self._tables(samples, batch, encoded),
                num_sizes=len(sizes), dtype=DTYPES[self.index.dtype],
            )  # fmt: skip
        return len(batch)

    def _frozen(self, by_caption: bool) -> dict[str, Condition]:
        """Frozen conditions that read captions only, or the others."""
        return {
            name: part
            for name, part in each_condition(self.task.conditions).items()
            if part.frozen and (part.reads == ("caption",)) == by_caption
        }

    def _tables(
        self, samples: Sequence[LatentSample], batch: VideoBatch, latents: Tensor
    ) -> dict[str, Table]:
        """Signals of each different caption, and of each clip; the unconditional ones first."""
        captions, row = distinct_captions(samples)
        tables = {}
        for name, part in self._frozen(by_caption=True).items():
            tables[name] = Table(list(self._read(part, captions, len(batch))), row, captions)
        for name, part in self._frozen(by_caption=False).items():
            empty = in_rows(part.empty(inputs_of(batch, latents)), 0)
            rows = [empty, *(sample.signals[name] for sample in samples)]
            ids = ["the unconditional input", *(sample.id for sample in samples)]
            tables[name] = Table(rows, list(range(1, len(rows))), ids)
        return tables

    def _read(self, part: Condition, captions: Sequence[str], size: int) -> Iterator[Signal]:
        for begin in range(0, len(captions), size):
            some = captions[begin : begin + size]
            signal = part({"caption": some})
            yield from (in_rows(signal, row) for row in range(len(some)))
