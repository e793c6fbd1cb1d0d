"""``vidiff encode``: the autoencoder and frozen conditions, once over a dataset.

Each process writes whole shards of its own, so that none waits for another.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torch.utils.data import Sampler

from vidiff.building import describe
from vidiff.checkpoints import Checkpoint, part_weights
from vidiff.conditions import Condition
from vidiff.conditions.base import each_condition, in_rows
from vidiff.data import Split
from vidiff.data.cache_files import Table, is_whole, shard_path, write_shard
from vidiff.data.cache_index import DTYPES, INDEX, CachedSplit, Index, read_index
from vidiff.data.loaders import EvalLoader
from vidiff.files import write_text
from vidiff.finite import bad_weight
from vidiff.training.data import VideoDataModule
from vidiff.training.diffusion.task import DiffusionTask
from vidiff.training.processes import from_first, share_of_data
from vidiff.types import Grid, LatentSample, Signal, VideoBatch, VideoSample

# A process may have nothing left to do, or all of them.
warnings.filterwarnings("ignore", message=".*Total length of `Jobs` across ranks is zero")

Missing = dict[Split, list[int]]
"""Numbers of the shards to write, by split."""


@dataclass
class Job:
    """Clips to encode: their shard, its key, their places in it, whether they complete it."""

    batch: VideoBatch
    path: Path
    key: str
    rows: list[int]
    last: bool

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(eq=False)
class ShardBatches(Sampler[list[int]]):
    """The clips of some shards, shard after shard; the last batch of one may be smaller."""

    index: Index
    split: Split
    shards: Sequence[int]
    batch_size: int

    def __len__(self) -> int:
        return sum(len(self.ranges(shard)) for shard in self.shards)

    def __iter__(self) -> Iterator[list[int]]:
        return (list(clips) for shard in self.shards for clips in self.ranges(shard))

    def ranges(self, shard: int) -> list[range]:
        """The batches of one shard, as the source's indices."""
        begin = shard * self.index.entries_per_shard
        end = min(begin + self.index.entries_per_shard, self.index.num_entries(self.split))
        num_sizes, step = len(self.index.sizes), self.batch_size
        of_sizes = [range(begin + size, end, num_sizes) for size in range(num_sizes)]
        return [of[i : i + step] for of in of_sizes for i in range(0, len(of), step)]


@dataclass
class Jobs:
    """The jobs of one process; no ``DataLoader``, which Lightning would deal out once more."""

    root: Path
    parts: Sequence[tuple[ShardBatches, EvalLoader]]

    @property
    def num_clips(self) -> int:
        """Clips to encode, for the progress bar."""
        return sum(len(clips) for batches, _ in self.parts for clips in batches)

    def __len__(self) -> int:
        return sum(len(batches) for batches, _ in self.parts)

    def __iter__(self) -> Iterator[Job]:
        return chain.from_iterable(self._jobs(*part) for part in self.parts if len(part[0]))

    def _jobs(self, batches: ShardBatches, loader: EvalLoader) -> Iterator[Job]:
        loaded, index, split = iter(loader), batches.index, batches.split
        for shard in batches.shards:
            path, ranges = shard_path(self.root, split, shard), batches.ranges(shard)
            begin = shard * index.entries_per_shard
            for number, clips in enumerate(ranges, 1):
                batch = next(loaded)
                assert isinstance(batch, VideoBatch)
                rows = [clip - begin for clip in clips]
                yield Job(batch, path, index.key(split), rows, last=number == len(ranges))


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
        inputs = self._inputs(batch, encoded)
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
        return {**batch.inputs, "latents": latents, "latent_shape": tuple(latents.shape[1:])}


class EncodingData(LightningDataModule):
    """The clips of the shards that are missing, dealt to the processes."""

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
    """Index and missing shards, in a new folder or one of the same call, else ``ValueError``."""
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
        raise ValueError(f"{root} is not empty and holds no latent cache: choose another --output")
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
