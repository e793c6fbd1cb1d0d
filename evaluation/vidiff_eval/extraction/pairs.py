"""Rows of metrics of pairs, in the store: each generated clip with the real one of its name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vidiff_eval.clips.clip import ClipSet
from vidiff_eval.clips.pairing import Pair, pair, stem
from vidiff_eval.extraction.decode_ahead import Batch, Job
from vidiff_eval.extraction.extract import Skipped, fill, warn
from vidiff_eval.extraction.store import Store

if TYPE_CHECKING:
    from vidiff.evaluation_report import Row
    from vidiff_eval.metrics.base import PairMetric


def keep_pairs(
    metrics: Sequence[PairMetric], real: ClipSet, generated: ClipSet, store: Store, **options: Any
) -> Skipped:
    """Make sure that the store holds the row of each metric and pair; both are decoded once.

    Of several processes, all have to call this with the same arguments; each takes a share.
    ``options`` are those of ``in_batches``.

    Returns:
        Generated files without scores, and why: they or their partners are damaged. A warning
        names them; leave them out by ``ClipSet.without``.

    Raises:
        ValueError: as ``pair`` does, or if a metric cannot measure a pair.
    """
    import torch

    def find(metric: PairMetric, batch: Batch) -> None:
        job, pixels = batch[0]
        if pixels[0].shape != pixels[1].shape:
            sizes = ["x".join(map(str, one.shape[1:])) for one in pixels]
            raise ValueError(
                f"it and its partner {job.clips[1].video.path} differ in size: {sizes[0]} and "
                f"{sizes[1]} (frames x height x width); set --protocol.size"
            )
        sides = (torch.stack(side) for side in zip(*(pixels for _, pixels in batch), strict=True))
        for (job, _), row in zip(batch, metric.judge(*sides), strict=True):
            store.put_row(metric, job.key, row)

    def has(metric: PairMetric, key: str) -> bool:
        return store.get_row(metric, key) is not None

    pairs = [(_key(both), both) for both in pair(real, generated)]
    jobs = {key: Job(key, both) for key, both in pairs}
    damaged = fill([*jobs.values()], metrics, has, find, **{"label": "pairs", **options})
    skipped = {}
    for key, (one, other) in pairs:
        if key in damaged:
            whose = f"its partner {other.video.path}: " if damaged[key].place else ""
            skipped[one.video.file] = whose + damaged[key].reason
    used = {stem(clip.video.file) for clip in real.clips}
    partners = {stem(file): (file, why) for file, why in real.skipped.items()}
    for file in (clip.video.file for clip in generated.clips):
        if stem(file) in partners and stem(file) not in used:
            partner, why = partners[stem(file)]
            skipped[file] = f"its partner {real.folder / partner}: {why}"
    order = dict.fromkeys(clip.video.file for clip in generated.clips)
    skipped = {file: skipped[file] for file in order if file in skipped}
    warn(generated, skipped)
    return skipped


def load_pairs(metric: PairMetric, real: ClipSet, generated: ClipSet, store: Store) -> list[Row]:
    """The stored row of each generated clip and its partner, in the order of the generated clips.

    Raises:
        ValueError: as ``pair`` does, or if something is missing.
    """
    rows = [store.get_row(metric, _key(both)) for both in pair(real, generated)]
    if any(row is None for row in rows):
        raise ValueError(f"{store.root} was changed meanwhile: evaluate again")
    return [row for row in rows if row is not None]


def _key(both: Pair) -> str:
    generated, real = both
    return hashlib.sha256(f"{generated.key} {real.key}".encode()).hexdigest()
