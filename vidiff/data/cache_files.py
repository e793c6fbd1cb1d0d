"""The files of a latent cache: an index of constant size, and shards of equally many clips.

Entry ``i`` of a split is the clip that its source gave for index ``i``, and lies in shard
``i // entries_per_shard``. A shard is a safetensors file:

====================  =======================================================================
``latents.S``         (entries, c, f, h, w): the clips in size number ``S``
``ids``               their ids, as bytes one after the other; ``ids.ends`` says where
``captions``          each caption once, the empty one first; ``captions.ends`` says where
``caption``           (entries,): which of them is whose
``signals.N.row``     (entries,): which row of condition N's signals is whose; row 0 is that of
                      the unconditional input
``signals.N.vector``  (rows, …); likewise ``channels``
``signals.N.tokens``  (tokens, c): of all rows, one after the other
``signals.N.mask``    (tokens,): which of these are real
``signals.N.ends``    where each row's tokens end
====================  =======================================================================

Signals are those of frozen conditions; of one that reads captions only, each caption has a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidiff.files import replacing
from vidiff.types import LatentSample, Signal, Signals, Size


def shard_path(root: Path, split: str, number: int) -> Path:
    """Where a shard lies."""
    return root / f"{split}-{number:06d}.safetensors"


def count_shards(root: Path, split: str) -> int:
    """How many shards of a split there are."""
    return sum(1 for _ in root.glob(f"{split}-*.safetensors"))


def is_whole(path: Path, key: str) -> bool:
    """Whether a shard is there, complete, and of the cache with ``key``."""
    try:
        Shard(path, key)
    except ValueError:
        return False
    return True


@dataclass
class Table:
    """Signals of one condition for the clips of a shard.

    Each row has axis b of size 1 and no padding; the first is of the unconditional input.
    """

    rows: list[Signal]  # different signals
    row: list[int]  # which of them each clip has
    what: list[str]  # what each row belongs to, for messages

    def tensors(self, name: str, dtype: torch.dtype) -> dict[str, Tensor]:
        """Returns what is stored; a ``ValueError`` as in ``write_shard``."""
        found = {f"{name}.row": torch.tensor(self.row)}
        for form in ("vector", "channels"):
            values = [x for row in self.rows if (x := getattr(row, form)) is not None]
            if len({x.shape for x in values}) > 1:
                raise ValueError(
                    f"{name}: {form} of clips of several sizes differ in shape and cannot be "
                    "kept: encode one size at a time"
                )
            if values:
                found[f"{name}.{form}"] = torch.cat(values).to(dtype)
        if all(row.tokens is not None and row.mask is not None for row in self.rows):
            tokens = [row.tokens[0] for row in self.rows if row.tokens is not None]
            found |= {
                f"{name}.tokens": torch.cat(tokens).to(dtype),
                f"{name}.mask": torch.cat([r.mask[0] for r in self.rows if r.mask is not None]),
                f"{name}.ends": _ends([len(x) for x in tokens]),
            }
        rows = zip(self.what, self.rows, strict=True)
        if bad := [what for what, row in rows if not _fits(row, dtype)]:
            raise ValueError(
                f"{name} of {', '.join(map(repr, bad[:5]))} are not finite in {dtype}: look at "
                "that condition, or use --dtype float32"
            )
        return found


def _fits(row: Signal, dtype: torch.dtype) -> bool:
    forms = (row.vector, row.tokens, row.channels)
    return all(x is None or bool(x.to(dtype).isfinite().all()) for x in forms)


def distinct_captions(samples: Sequence[LatentSample]) -> tuple[list[str], list[int]]:
    """The captions of some clips, each once, the empty one first; and which one each clip has."""
    captions = list(dict.fromkeys(["", *(sample.caption for sample in samples)]))
    rows = {caption: row for row, caption in enumerate(captions)}
    return captions, [rows[sample.caption] for sample in samples]


def write_shard(
    path: Path,
    key: str,
    samples: Sequence[LatentSample],
    tables: Mapping[str, Table],
    *,
    num_sizes: int,
    dtype: torch.dtype,
) -> None:
    """Write a shard in one go: it is there whole or not at all.

    Entry ``i`` of the samples is in size ``i % num_sizes``; tables have the frozen conditions'
    names. A ``ValueError`` if a latent or a signal is not finite in ``dtype``, or signals differ in
    shape.
    """
    captions, row = distinct_captions(samples)
    tensors = {
        **_joined("ids", [sample.id for sample in samples]),
        **_joined("captions", captions),
        "caption": torch.tensor(row),
    }
    for size in range(num_sizes):
        latents = torch.stack([sample.latents for sample in samples[size::num_sizes]]).to(dtype)
        if not latents.isfinite().all():
            bad = [s.id for s in samples if not s.latents.to(dtype).isfinite().all()]
            raise ValueError(
                f"the latents of {', '.join(bad[:5])} are not finite in {dtype}: look at those "
                "clips and at the autoencoder, or use --dtype float32"
            )
        tensors[f"latents.{size}"] = latents
    for name, table in tables.items():
        tensors |= table.tensors(f"signals.{name}", dtype)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"key": key})


class Shard:
    """One open shard, of the cache and split with ``key``; the system may drop it from memory.

    A ``ValueError`` if it is missing, damaged, of another cache, or a link out of its folder.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        if not path.resolve().is_relative_to(path.parent.resolve()):
            raise self._error("is a link that leads out of the cache: put the file itself there")
        try:
            self._file = safe_open(path, "pt")
        except (OSError, SafetensorError) as error:
            raise self._damage(error) from error
        if (self._file.metadata() or {}).get("key") != key:
            raise self._error("belongs to another cache, or to other settings of this one")
        self._names = set(self._file.keys())
        rows = (name for name in self._names if name.startswith("signals."))
        self._conditions = sorted(n.split(".")[1] for n in rows if n.endswith(".row"))

    def sample(self, row: int, sizes: Sequence[Size], latent_channels: int) -> LatentSample:
        """The entry at ``row``, without ``empty``; a ``ValueError`` if the file is damaged."""
        size = row % len(sizes)
        try:
            latents = self._file.get_slice(f"latents.{size}")[row // len(sizes)]
            caption = int(self._file.get_slice("caption")[row])
            sample = LatentSample(
                latents=latents.to(torch.float32, copy=True),
                size=sizes[size],
                caption=self._string("captions", caption),
                id=self._string("ids", row),
                signals={
                    name: self._signal(name, int(self._file.get_slice(f"signals.{name}.row")[row]))
                    for name in self._conditions
                },
            )
        except (IndexError, ValueError, SafetensorError) as error:
            raise self._damage(error) from error
        if latents.ndim != 4 or latents.shape[0] != latent_channels:
            raise self._damage(f"latents of shape {tuple(latents.shape)}")
        return sample

    def empty(self) -> Signals:
        """Signals of the unconditional input."""
        return {name: self._signal(name, 0) for name in self._conditions}

    def _signal(self, condition: str, row: int) -> Signal:
        name = f"signals.{condition}"

        def one(form: str) -> Tensor | None:
            if f"{name}.{form}" not in self._names:
                return None
            return self._file.get_slice(f"{name}.{form}")[row : row + 1].float()

        tokens = mask = None
        if f"{name}.ends" in self._names:
            part = self._between(f"{name}.ends", row)
            tokens = self._file.get_slice(f"{name}.tokens")[part].float()[None]
            mask = self._file.get_slice(f"{name}.mask")[part].clone()[None]
        return Signal(one("vector"), tokens, mask, one("channels"))

    def _string(self, name: str, row: int) -> str:
        letters = self._file.get_slice(name)[self._between(f"{name}.ends", row)]
        return letters.numpy().tobytes().decode("utf-8", "surrogateescape")

    def _between(self, name: str, row: int) -> slice:
        begin, end = self._file.get_slice(name)[row : row + 2].tolist()
        if not 0 <= begin <= end:
            raise ValueError(f"{name} falls from {begin} to {end}")
        return slice(begin, end)

    def _damage(self, why: object) -> ValueError:
        return self._error(
            f"cannot be read ({why}): run the same `vidiff encode` again, which writes what is "
            "missing or damaged anew"
        )

    def _error(self, what: str) -> ValueError:
        return ValueError(f"{self.path} {what}")


def _joined(name: str, strings: Sequence[str]) -> dict[str, Tensor]:
    # surrogateescape: ids may hold file names, which may be any bytes.
    parts = [string.encode("utf-8", "surrogateescape") for string in strings]
    letters = torch.frombuffer(bytearray(b"".join(parts)), dtype=torch.uint8) if any(parts) else ()
    return {
        name: torch.as_tensor(letters, dtype=torch.uint8),
        f"{name}.ends": _ends([len(part) for part in parts]),
    }


def _ends(lengths: Sequence[int]) -> Tensor:
    return torch.tensor([0, *accumulate(lengths)])
