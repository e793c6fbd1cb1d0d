"""The clips of missing shards, as one process encodes them: whole shards, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from torch.utils.data import Sampler

from vidiff.data import Split
from vidiff.data.cache_files import shard_path
from vidiff.data.cache_index import Index
from vidiff.data.loaders import EvalLoader
from vidiff.types import VideoBatch


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
