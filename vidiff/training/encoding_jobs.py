"""What ``vidiff encode`` has to do: batches of clips, shard after shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from torch.utils.data import Sampler

from vidiff.data import Split
from vidiff.data.cache_files import shard_path
from vidiff.data.cache_index import Index
from vidiff.training.loaders import EvalLoader
from vidiff.types import VideoBatch


@dataclass
class Job:
    """One batch of clips to encode.

    Attributes:
        batch: the clips.
        path: the shard that they belong to.
        key: that the shard is known by.
        rows: their places in it.
        last: whether the shard is complete with them.
    """

    batch: VideoBatch
    path: Path
    key: str
    rows: list[int]
    last: bool

    def __len__(self) -> int:
        return len(self.rows)


class ShardBatches(Sampler[list[int]]):
    """The clips of some shards, shard after shard, in batches of one size.

    Args:
        index: of the cache.
        split: whose shards.
        shards: their numbers.
        batch_size: most clips in a batch.
    """

    def __init__(self, index: Index, split: Split, shards: Sequence[int], batch_size: int) -> None:
        self.index, self.split, self.shards, self.batch_size = index, split, shards, batch_size
        self._length = sum(len(self.ranges(shard)) for shard in shards)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[list[int]]:
        return (list(clips) for shard in self.shards for clips in self.ranges(shard))

    def ranges(self, shard: int) -> list[range]:
        """The batches of one shard, as the source's indices."""
        begin = shard * self.index.entries_per_shard
        end = min(begin + self.index.entries_per_shard, self.index.num_entries(self.split))
        num_sizes, step = len(self.index.sizes), self.batch_size
        of_sizes = [range(begin + size, end, num_sizes) for size in range(num_sizes)]
        return [of[i : i + step] for of in of_sizes for i in range(0, len(of), step)]


class Jobs:
    """The jobs of one process; no ``DataLoader``, which Lightning would deal out once more.

    Args:
        root: the cache's folder.
        index: of the cache.
        parts: for each split, what is loaded in which order, and the loader that does it.
    """

    def __init__(
        self, root: Path, index: Index, parts: Sequence[tuple[Split, ShardBatches, EvalLoader]]
    ) -> None:
        self.root, self.index, self.parts = root, index, parts
        ranges = (batches.ranges(shard) for _, batches, _ in parts for shard in batches.shards)
        self.num_clips = sum(len(clips) for some in ranges for clips in some)

    def __len__(self) -> int:
        return sum(len(batches) for _, batches, _ in self.parts)

    def __iter__(self) -> Iterator[Job]:
        return chain.from_iterable(self._jobs(*part) for part in self.parts if len(part[1]))

    def _jobs(self, split: Split, batches: ShardBatches, loader: EvalLoader) -> Iterator[Job]:
        loaded = iter(loader)
        key = self.index.key(split)
        for shard in batches.shards:
            path, ranges = shard_path(self.root, split, shard), batches.ranges(shard)
            begin = shard * self.index.entries_per_shard
            for number, clips in enumerate(ranges, 1):
                batch = next(loaded)
                assert isinstance(batch, VideoBatch)
                rows = [clip - begin for clip in clips]
                yield Job(batch, path, key, rows, last=number == len(ranges))
