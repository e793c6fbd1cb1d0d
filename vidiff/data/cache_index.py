"""The index of a latent cache: what it holds, and what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vidiff.config_nodes import Node
from vidiff.types import Size

VERSION = 2
INDEX = "index.json"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class CachedSplit:
    """What a cache holds of one split."""

    length: int  # clips in one epoch
    draws: int  # epochs that were cached
    source: str  # the fingerprint of what the clips come from


@dataclass(frozen=True)
class Index:
    """What a cache holds, and what it was made from."""

    autoencoder: str  # its hash
    conditions: dict[str, str]  # hashes of the frozen ones, by name
    dataset: Node  # how the source is built, but for its split
    draws_anew: bool  # as of the source, see ``VideoDataset``
    latent_channels: int
    compression: Size  # pixels per latent along frames, height and width
    sizes: tuple[Size, ...]  # of clips in pixels: each that they may have
    dtype: str  # of what is stored
    precision: str  # the trainer's when it was encoded
    entries_per_shard: int  # a multiple of the number of sizes
    splits: dict[str, CachedSplit]

    def num_entries(self, split: str) -> int:
        """Clips of a split, in all sizes and draws."""
        held = self.splits[split]
        return held.length * held.draws * len(self.sizes)

    def num_shards(self, split: str) -> int:
        """Files of a split."""
        return -(-self.num_entries(split) // self.entries_per_shard)

    def key(self, split: str) -> str:
        """What a shard of this cache and split is known by."""
        told = asdict(self) | {"splits": {split: asdict(self.splits[split])}}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def differences(self, other: Index) -> list[str]:
        """In what another cache differs, in words. A split that one lacks is no difference."""
        ours, theirs = asdict(self), asdict(other)
        apart = ("conditions", "dataset", "splits", "precision")
        names = [name for name in ours if name not in apart]
        found = [name.replace("_", " ") for name in names if ours[name] != theirs[name]]
        for name in sorted(self.conditions.keys() | other.conditions.keys()):
            if self.conditions.get(name) != other.conditions.get(name):
                found.append(f"condition {name!r}")
        if self.precision != other.precision:
            found.append(f"trainer.precision ({self.precision!r} and {other.precision!r})")
        settings = [_settings(index.dataset) for index in (self, other)]
        for name in sorted(settings[0].keys() | settings[1].keys()):
            values = [held.get(name) for held in settings]
            if values[0] != values[1]:
                found.append(f"the dataset's {name} ({values[0]!r} and {values[1]!r})")
        for split in sorted(self.splits.keys() & other.splits.keys()):
            one, two = self.splits[split], other.splits[split]
            if one.source != two.source:
                found.append(f"source files of {split}")
            if one.draws != two.draws:
                found.append(f"num_epochs of {split} ({one.draws} and {two.draws})")
        return found

    def dumps(self) -> str:
        """As it stands in ``index.json``."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n"


def _settings(node: Node) -> dict[str, Any]:
    return {"class_path": node.get("class_path"), **node.get("init_args", {})}


def read_index(root: Path) -> Index:
    """The index of a cache; a ``ValueError`` if it is missing, damaged or of another version."""
    path = root / INDEX
    if not path.is_file():
        raise ValueError(
            f"{root} holds no latent cache, as it has no {INDEX}: "
            f"`vidiff encode -c CONFIG --output {root}` makes one"
        )
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        version = stored.pop("version")
        if version == VERSION:
            return _parsed(stored)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}): encode into another folder") from error
    raise ValueError(
        f"{path} is of version {version!r}, and this vidiff reads version {VERSION}: encode again "
        "into another folder, or use the vidiff that wrote it"
    )


def _parsed(stored: dict[str, Any]) -> Index:
    splits = {name: CachedSplit(**held) for name, held in stored.pop("splits").items()}
    sizes = tuple(_size(size) for size in stored.pop("sizes"))
    index = Index(
        **stored | {"splits": splits, "sizes": sizes, "compression": _size(stored["compression"])}
    )
    counts = [index.latent_channels, index.entries_per_shard]
    counts += [count for held in splits.values() for count in (held.length, held.draws)]
    if any(type(count) is not int or count < 1 for count in counts):
        raise ValueError(f"a count is not a positive number: {counts}")
    if not sizes or index.entries_per_shard % len(sizes):
        raise ValueError(f"{index.entries_per_shard} entries do not hold {len(sizes)} sizes")
    if index.dtype not in DTYPES or not isinstance(index.dataset, dict):
        raise ValueError(f"dtype {index.dtype!r}, dataset {index.dataset!r}")
    return index


def _size(numbers: Sequence[int]) -> Size:
    f, h, w = numbers
    if any(type(number) is not int or number < 1 for number in (f, h, w)):
        raise ValueError(f"a size is not positive: {numbers}")
    return f, h, w
