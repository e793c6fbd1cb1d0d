"""Metrics of pairs: each generated clip with the real clip of the same name."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from vidiff.folders import EXTENSIONS
from vidiff_eval.clips.clip import Clip, ClipSet
from vidiff_eval.extraction.decode_ahead import in_batches
from vidiff_eval.extraction.processes import all_or_none, gather, is_first, share
from vidiff_eval.extraction.store import Store

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff.evaluation_report import Row
    from vidiff_eval.metrics.base import PairMetric

log = logging.getLogger(__name__)

Pair = tuple[Clip, Clip]
"""A generated clip, and the real one of its name."""


def pair(real: ClipSet, generated: ClipSet) -> list[Pair]:
    """Each generated clip with the real one: files of one path within their folders.

    Endings of names do not count, so ``a/b.mp4`` belongs to ``a/b.gif``. A clip whose partner's
    file was left out as damaged is left out too.

    Returns:
        Pairs in the order of the generated clips.

    Raises:
        ValueError: if a clip has no partner, two have one name, or the clips of a pair differ in
            length or in the frame they begin at; names the files.
    """
    ours, theirs = _by_name(generated), _by_name(real)
    left_out = {_name(file) for file in (*real.skipped, *generated.skipped)}
    for some, others, whole in ((ours, theirs, real), (theirs, ours, generated)):
        alone = [c for key, c in some.items() if key not in others and key[0] not in left_out]
        if alone:
            raise ValueError(
                f"{alone[0].video.path} has no partner in {whole.folder} ({len(alone)} such): "
                "metrics of pairs compare files of the same name; name them alike, set "
                "--protocol.num_clips null, or leave these metrics out of --metrics"
            )
    pairs = [(clip, theirs[key]) for key, clip in ours.items() if key in theirs]
    for one, other in pairs:
        _check(one, other)
    return pairs


def keep_pairs(
    metrics: Sequence[PairMetric],
    real: ClipSet,
    generated: ClipSet,
    store: Store,
    *,
    batch_size: int = 8,
    workers: int | None = None,
    progress: bool = True,
    label: str = "",
) -> dict[str, str]:
    """Make sure that the store holds what each metric finds of each pair; both are decoded once.

    Of several processes, all have to call this with the same arguments; each takes a share.

    Returns:
        Generated files without scores, and why: they or their partners are damaged. A warning
        names them; leave them out by ``ClipSet.without``.

    Raises:
        ValueError: as ``pair`` does, or if a metric cannot measure a pair.
    """
    pairs = pair(real, generated)
    damaged: dict[str, str] = {}
    with all_or_none():
        damaged = _keep(
            metrics, share(pairs), store, batch_size, workers, progress and is_first(),
            label or "pairs",
        )  # fmt: skip
    everywhere = {file: why for found in gather(damaged) for file, why in found.items()}
    used = {_name(clip.video.file) for clip in real.clips}
    partners = {
        _name(file): (file, why) for file, why in real.skipped.items() if _name(file) not in used
    }
    for clip in generated.clips:
        if _name(clip.video.file) in partners:
            file, why = partners[_name(clip.video.file)]
            everywhere[clip.video.file] = f"its partner {real.folder / file}: {why}"
    files = dict.fromkeys(clip.video.file for clip in generated.clips)
    left_out = {file: everywhere[file] for file in files if file in everywhere}
    if is_first():
        for file, reason in left_out.items():
            log.warning("%s is left out: %s", generated.folder / file, reason)
    return left_out


def extract_pairs(
    metric: PairMetric,
    real: ClipSet,
    generated: ClipSet,
    store: Store,
    *,
    batch_size: int = 8,
    workers: int | None = None,
    progress: bool = True,
    label: str = "",
) -> list[Row]:
    """What a metric finds of each generated clip beside its partner, in the order of those.

    Only what the store does not hold is measured. Of several processes, all have to call this.

    Raises:
        ValueError: as ``keep_pairs`` does, or if a file is damaged: names all such.
    """
    damaged = keep_pairs(
        [metric], real, generated, store,
        batch_size=batch_size, workers=workers, progress=progress, label=label,
    )  # fmt: skip
    if damaged:
        reasons = "; ".join(f"{generated.folder / file}: {why}" for file, why in damaged.items())
        raise ValueError(f"pairs cannot be measured ({reasons}); remove these files on both sides")
    return load_pairs(metric, real, generated, store)


def load_pairs(metric: PairMetric, real: ClipSet, generated: ClipSet, store: Store) -> list[Row]:
    """What the store holds of each generated clip beside its partner, in the order of those.

    Raises:
        ValueError: as ``pair`` does, or if something is missing.
    """
    rows = [store.get_row(metric, _key(one)) for one in pair(real, generated)]
    if any(row is None for row in rows):
        raise ValueError(f"{store.root} was changed meanwhile: evaluate again")
    return [row for row in rows if row is not None]


def _keep(
    metrics: Sequence[PairMetric],
    pairs: Sequence[Pair],
    store: Store,
    batch_size: int,
    workers: int | None,
    progress: bool,
    label: str,
) -> dict[str, str]:
    def lacks(one: Pair) -> list[PairMetric]:
        return [metric for metric in metrics if store.get_row(metric, _key(one)) is None]

    def run(batch: list[tuple[Pair, tuple[Tensor, ...]]]) -> None:
        for metric in metrics:
            part = [(one, pixels) for one, pixels in batch if metric in missing[_key(one)]]
            if part:
                _judge(metric, part, store)

    missing = {_key(one): some for one in pairs if (some := lacks(one))}
    jobs = [(one, one) for one in pairs if _key(one) in missing]
    damaged = in_batches(
        jobs, run, batch_size=batch_size, workers=workers, progress=progress, label=label
    )
    return {
        generated.video.file: why if clip is generated else f"its partner {clip.video.path}: {why}"
        for (generated, _), clip, why in damaged
    }


def _judge(
    metric: PairMetric, batch: Sequence[tuple[Pair, tuple[Tensor, ...]]], store: Store
) -> None:
    import torch

    (one, other), (ours, theirs) = batch[0]
    if ours.shape != theirs.shape:
        sizes = ["x".join(map(str, pixels.shape[1:])) for pixels in (ours, theirs)]
        raise ValueError(
            f"{one.video.path} and {other.video.path} differ in size: {sizes[0]} and {sizes[1]} "
            "(frames x height x width); set --protocol.size"
        )
    sides = (torch.stack(side) for side in zip(*(pixels for _, pixels in batch), strict=True))
    try:
        with torch.no_grad():
            rows = metric.judge(*sides)
    except ValueError as error:  # pairs of a batch are of one shape: what is wrong is so of all
        raise ValueError(f"{one.video.path}: {error}") from error
    for (both, _), row in zip(batch, rows, strict=True):
        store.put_row(metric, _key(both), row)


def _check(generated: Clip, real: Clip) -> None:
    # In frames, as files of the same frames may say another rate.
    begins = [clip.first for clip in (generated, real)]
    if abs(begins[0] - begins[1]) > 0.01:
        raise ValueError(
            f"the clips of {generated.video.path} and {real.video.path} begin at different frames: "
            "set --protocol.real_clip start --protocol.generated_clip start"
        )
    if generated.num_frames != real.num_frames:
        raise ValueError(
            f"{generated.video.path} gives {generated.num_frames} frames, {real.video.path} "
            f"{real.num_frames}: set --protocol.num_frames"
        )


def _by_name(clips: ClipSet) -> dict[tuple[str, int], Clip]:
    named: dict[tuple[str, int], Clip] = {}
    for clip in clips.clips:
        other = named.setdefault((_name(clip.video.file), clip.number), clip)
        if other is not clip:
            raise ValueError(
                f"{other.video.path} and {clip.video.path} differ in nothing but the ending: "
                "metrics of pairs cannot tell whose partner is whose; keep one"
            )
    return named


def _name(file: str) -> str:
    """A video's path within its folder, without the ending."""
    path = PurePosixPath(file)
    return str(path.with_suffix("")) if path.suffix.lower() in EXTENSIONS else file


def _key(one: Pair) -> str:
    generated, real = one
    return hashlib.sha256(f"{generated.key} {real.key}".encode()).hexdigest()
