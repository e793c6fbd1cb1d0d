"""``vidiff encode``: the autoencoder and frozen conditions, once over a dataset.

Each process writes whole shards of its own, so that none waits for another, and a call that was cut
off goes on with the shards that are missing, on more or fewer processes too.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from vidiff.building import describe
from vidiff.checkpoints import Checkpoint, part_weights
from vidiff.conditions import Condition
from vidiff.conditions.base import each_condition, in_rows
from vidiff.data import Split
from vidiff.data.cache_files import Table, is_whole, shard_path, write_shard
from vidiff.data.cache_index import DTYPES, INDEX, CachedSplit, Index, read_index
from vidiff.files import write_text
from vidiff.finite import bad_weight
from vidiff.training.data import VideoDataModule
from vidiff.training.diffusion import DiffusionTask
from vidiff.training.encoding_jobs import Job, Jobs, ShardBatches
from vidiff.training.processes import from_first, share_of_data
from vidiff.types import Grid, LatentSample, Signal, Signals, VideoBatch, VideoSample

# A process may have nothing left to do, or all of them.
warnings.filterwarnings("ignore", message=".*Total length of `Jobs` across ranks is zero")

Missing = dict[Split, list[int]]
"""Numbers of the shards to write, by split."""


class Encoding(LightningModule):
    """Encodes jobs and writes each shard when its last clip is there.

    Args:
        task: whose autoencoder and conditions are used; its denoiser is never built.
        checkpoint: of the task, if its weights are to be used instead of those of the config.
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
        named = {f"conditions.{name}": part for name, part in task.conditions.items()}
        parts = {"autoencoder": task.autoencoder, **named}
        for name, part in parts.items():
            if checkpoint is not None and (weights := part_weights(checkpoint, name)):
                part.load_state_dict(weights)
        if checkpoint is not None:
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
        signals = self._signals(batch, encoded)
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
        conditions = each_condition(self.task.conditions).items()
        return {
            name: part
            for name, part in conditions
            if part.frozen and (part.reads == ("caption",)) == by_caption
        }

    def _signals(self, batch: VideoBatch, latents: Tensor) -> Signals:
        """Signals of the frozen conditions that read the clips themselves."""
        inputs = self._inputs(batch, latents)
        return {name: part(inputs) for name, part in self._frozen(by_caption=False).items()}

    def _tables(
        self, samples: Sequence[LatentSample], batch: VideoBatch, latents: Tensor
    ) -> dict[str, Table]:
        """Signals of each different caption, and of each clip; the unconditional ones first."""
        captions = list(dict.fromkeys(["", *(sample.caption for sample in samples)]))
        number = {caption: row for row, caption in enumerate(captions)}
        tables = {}
        for name, part in self._frozen(by_caption=True).items():
            rows = list(self._read(part, captions, len(batch)))
            tables[name] = Table(rows, [number[sample.caption] for sample in samples], captions)
        for name, part in self._frozen(by_caption=False).items():
            empty = in_rows(part.empty(self._inputs(batch, latents)), 0)
            rows = [empty, *(sample.signals[name] for sample in samples)]
            ids = ["the unconditional input", *(sample.id for sample in samples)]
            tables[name] = Table(rows, list(range(1, len(rows))), ids)
        return tables

    def _read(self, part: Condition, captions: Sequence[str], size: int) -> Iterator[Signal]:
        for begin in range(0, len(captions), size):
            some = captions[begin : begin + size]
            signal = part({"caption": some})
            yield from (in_rows(signal, row) for row in range(len(some)))

    def _inputs(self, batch: VideoBatch, latents: Tensor) -> dict[str, Any]:
        shape = tuple(latents.shape[1:])
        return {**batch.inputs, "latents": latents, "latent_shape": shape}


class EncodingData(LightningDataModule):
    """The clips of the shards that are missing, dealt to the processes.

    Args:
        data: loads the clips.
        encoding: is told the index.
        root: the cache's folder.
        entries_per_shard: about how many clips a shard holds.
    """

    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self,
        data: VideoDataModule,
        encoding: Encoding,
        root: str,
        *,
        splits: Sequence[Split],
        num_epochs: int,
        dtype: str,
        batch_size: int,
        entries_per_shard: int,
    ) -> None:
        super().__init__()
        self.data, self.encoding, self.root, self.splits = data, encoding, Path(root), splits
        self.num_epochs, self.dtype = num_epochs, dtype
        self.batch_size, self.entries_per_shard = batch_size, entries_per_shard

    def predict_dataloader(self) -> Jobs:
        """Claim the folder; called when weights are where and as they will be used."""
        assert self.trainer is not None
        self.data.trainer = self.trainer
        index, missing = from_first(self.trainer, lambda: claim(self.root, self.describe()))
        self.encoding.index = index
        _tell(self.root, index, missing)
        rank, world_size = share_of_data(self.trainer)
        wanted = [(split, number) for split, numbers in missing.items() for number in numbers]
        dealt = wanted[rank::world_size]
        parts = []
        for split in missing:
            shards = [number for of, number in dealt if of == split]
            batches = ShardBatches(index, split, shards, self.batch_size)
            parts.append((batches, self.data.loader(split, batches)))
        return Jobs(self.root, parts)

    def describe(self) -> Index:
        """The index of the cache that is asked for.

        Raises:
            ValueError: if the dataset gives latents, or clips that do not fit the autoencoder.
        """
        task = self.encoding.task
        datasets = {split: self.data.dataset(split) for split in self.splits}
        first = datasets[self.splits[0]]
        sizes = tuple(_size(first[index]) for index in range(first.num_sizes))
        for size in sizes:
            task.autoencoder.latent_size(*size)
        autoencoder, conditions = task.encoders.hashes()
        per_shard = math.ceil(self.entries_per_shard / len(sizes)) * len(sizes)
        return Index(
            autoencoder=autoencoder,
            conditions=conditions,
            dataset=describe(self.data.make_dataset),
            draws_anew=first.draws_anew,
            latent_channels=task.autoencoder.latent_channels,
            compression=task.autoencoder.compression,
            sizes=sizes,
            dtype=self.dtype,
            precision=str(self.trainer.precision) if self.trainer is not None else "",
            entries_per_shard=per_shard,
            splits={
                split: CachedSplit(
                    length=len(dataset),
                    # Validation and test ask for the same draws each time.
                    draws=self.num_epochs if split == "train" and dataset.draws_anew else 1,
                    source=dataset.fingerprint(),
                )
                for split, dataset in datasets.items()
            },
        )


def claim(root: Path, asked: Index) -> tuple[Index, Missing]:
    """Make the folder, or find the same cache begun in it: its index and the missing shards.

    Raises:
        ValueError: if the folder holds anything else.
    """
    known, index = root / INDEX, asked
    if known.exists() and any(root.glob("*.safetensors")):  # a call may fail before its first
        held = read_index(root)
        if differing := held.differences(asked):
            raise ValueError(
                f"{root} holds another cache, in which these differ: {'; '.join(differing)}. "
                "Choose another --output, or remove that folder"
            )
        index = replace(held, splits=held.splits | asked.splits)
    elif any(path.name != INDEX for path in root.glob("[!.]*")):
        raise ValueError(
            f"{root} is not empty and holds no latent cache: choose another --output folder"
        )
    root.mkdir(parents=True, exist_ok=True)
    write_text(known, index.dumps())
    _sweep(root)
    return index, {split: _missing(root, index, split) for split in asked.splits}  # type: ignore[misc]


def _missing(root: Path, index: Index, split: str) -> list[int]:
    key = index.key(split)
    numbers = range(index.num_shards(split))
    return [number for number in numbers if not is_whole(shard_path(root, split, number), key)]


def _sweep(root: Path) -> None:
    """Remove what calls that were killed left half written; no call writes on for an hour."""
    for path in root.glob(".*.safetensors.*"):
        with suppress(FileNotFoundError):  # another call's, which is there by its own name now
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()


def _size(sample: object) -> Grid:
    if not isinstance(sample, VideoSample):
        raise ValueError(
            "this dataset gives latents already: set data.dataset to the one that is to be encoded"
        )
    f, h, w = sample.pixels.shape[1:]
    return f, h, w


def _tell(root: Path, index: Index, missing: Missing) -> None:
    for split, numbers in missing.items():
        total, clips = index.num_shards(split), index.num_entries(split)
        done = f"{total - len(numbers)} of {total} shards are there" if numbers else "complete"
        rank_zero_info(f"{root}, {split}: {clips} clips, {done}")
