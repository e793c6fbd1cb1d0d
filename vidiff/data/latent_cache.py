"""Clips that an autoencoder has encoded already."""

from __future__ import annotations

import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

from vidiff.config_nodes import build
from vidiff.data.base import Split, VideoDataset
from vidiff.data.cache_files import Shard, count_shards, shard_path
from vidiff.data.cache_index import read_index
from vidiff.registry import get_kind, register
from vidiff.types import LatentSample, Signals

log = logging.getLogger(__name__)

_OPEN = 32  # shards that one process keeps open


@register("latent_cache")
class LatentCache(VideoDataset):
    """Latents that ``vidiff encode`` wrote: the clips of its source, in the same order.

    A diffusion task trains from them as from their source, without running the autoencoder, and
    without the conditions that are frozen. Where the source draws a start or a crop anew in
    each epoch, the cached epochs come again when all have been seen. A ``ValueError`` if the cache
    is incomplete, stale, damaged or of another version, or lacks the split.

    Args:
        split: which; ``vidiff encode --splits`` must have named it.
        root: the folder that ``vidiff encode --output`` wrote.
        check_source: where the source is at hand, refuse the cache if its files have changed since.
            That reads 128 KiB of each file of the split when the dataset is made, in each process.
    """

    def __init__(self, *, split: Split, root: str, check_source: bool = True) -> None:
        self.root, self.split = Path(root).expanduser(), split
        self.index = read_index(self.root)
        if split not in self.index.splits:
            raise ValueError(
                f"{root} holds {', '.join(self.index.splits)}, and not {split}: run the same "
                f"`vidiff encode` with --splits {split}"
            )
        held, needed = count_shards(self.root, split), self.index.num_shards(split)
        if held < needed:
            raise ValueError(
                f"{root} is incomplete, {split} has {held} of {needed} shards: run the same "
                "`vidiff encode` again, which goes on where it stopped"
            )
        self.num_sizes = len(self.index.sizes)
        self.draws_anew = self.index.draws_anew
        self._key = self.index.key(split)
        self._open: OrderedDict[int, Shard] = OrderedDict()
        self._empty: Signals | None = None
        if check_source:
            self._check_source()

    def __len__(self) -> int:
        return self.index.splits[self.split].length

    def __getitem__(self, index: int) -> LatentSample:
        if index < 0 or not (self.draws_anew or index < len(self) * self.num_sizes):
            raise IndexError(f"clip {index} of {len(self)}")
        entry = index % self.index.num_entries(self.split)
        number, row = divmod(entry, self.index.entries_per_shard)
        shard = self._shard(number)
        sample = shard.sample(row, self.index.sizes, self.index.latent_channels)
        if sample.signals:
            if self._empty is None:
                self._empty = shard.empty()
            sample.empty = self._empty
        return sample

    def _shard(self, number: int) -> Shard:
        if number not in self._open:
            path = shard_path(self.root, self.split, number)
            self._open[number] = Shard(path, self._key)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        """A worker process opens files of its own."""
        return self.__dict__ | {"_open": OrderedDict()}

    def _check_source(self) -> None:
        node = self.index.dataset
        known = {component.class_path for component in get_kind("dataset").components.values()}
        if node.get("class_path") not in known:  # an index must not name what is imported
            self._say_unchecked(f"no dataset {node.get('class_path')} is known")
            return
        arguments = {**node.get("init_args", {}), "split": self.split}
        try:
            source = build({**node, "init_args": arguments}, VideoDataset)  # type: ignore[type-abstract]
            self.held_out, fingerprint = source.held_out, source.fingerprint()
        except (ValueError, OSError) as error:
            self._say_unchecked(" ".join(str(error).split()))
            return
        if fingerprint != self.index.splits[self.split].source:
            raise ValueError(
                f"{self.root} is stale, the files that its {self.split} clips come from have "
                f"changed ({node['init_args'].get('root', node['class_path'])}): encode them into "
                "another folder, or set check_source to false to go on with what they were"
            )

    def _say_unchecked(self, reason: str) -> None:
        log.warning(
            "%s: whether it is stale was not checked, as its source is not at hand: %s "
            "(check_source: false leaves this out)", self.root, reason,
        )  # fmt: skip
