"""Clips to encode: each process writes whole shards of its own, so that none waits for another."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from vidiff.config_nodes import describe
from vidiff.data import Split
from vidiff.data.cache_index import CachedSplit, Index
from vidiff.training.data import VideoDataModule
from vidiff.training.encoding.claim import claim, status
from vidiff.training.encoding.jobs import Jobs, ShardBatches
from vidiff.training.encoding.module import Encoding
from vidiff.training.processes import from_first, share_of_data
from vidiff.types import Size, VideoSample

# A process may have nothing left to do, or all of them.
warnings.filterwarnings("ignore", message=".*Total length of `Jobs` across ranks is zero")


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
        for line in status(self.root, index, missing):
            rank_zero_info(line)
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


def read_splits(splits: str) -> list[Split]:
    """Splits that commas separate, each once.

    Raises:
        ValueError: if one is unknown.
    """
    names = dict.fromkeys(name.strip() for name in splits.split(","))
    found: list[Split] = [split for split in get_args(Split) if split in names]
    if len(found) != len(names):
        raise ValueError(f"splits must be some of train, val and test, got {splits!r}")
    return found


def _size(sample: object) -> Size:
    if not isinstance(sample, VideoSample):
        raise ValueError(
            "this dataset gives latents already: set data.dataset to the one that is to be encoded"
        )
    f, h, w = sample.pixels.shape[1:]
    return f, h, w
