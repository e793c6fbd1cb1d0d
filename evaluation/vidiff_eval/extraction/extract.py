"""Features of clips: found once, with decoding overlapped and shared among processes, then kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from vidiff_eval.clips.clip import Clip, ClipSet
from vidiff_eval.extraction.decode_ahead import Batch, Damage, Job, in_batches
from vidiff_eval.extraction.processes import all_or_none, gather, is_first, share
from vidiff_eval.extraction.store import Store
from vidiff_eval.features.base import Features, Found
from vidiff_eval.protocols.protocol import fingerprint

log = logging.getLogger(__name__)

Finder = TypeVar("Finder")
Skipped = dict[str, str]
"""By file of a set, why it is left out."""


def extract(
    sets: Sequence[ClipSet], features: Sequence[Features], store: Store, **options: Any
) -> list[Skipped]:
    """Make sure that the store holds ``features`` of each clip.

    A clip is decoded once for all features that lack it, and not at all when none does; clips of
    equal content count as one. Of several processes, all have to call this with the same
    arguments; each takes a share, and the store holds everything when they return.

    ``options`` are those of ``in_batches``.

    Returns:
        For each set, its files that turned out to be damaged and why; a warning names them.
        Leave them out by ``ClipSet.without``.

    Raises:
        ValueError: if features cannot be taken from a clip, naming its file; on all processes if
            on one.
    """
    import torch

    def find(one: Features, batch: Batch) -> None:
        found = one.extract(torch.stack([pixels for _, (pixels,) in batch]))
        for name, value in found.items():
            assert len(value) == len(batch), f"{type(one).__name__} finds {name} of {len(value)}"
        for index, (job, _) in enumerate(batch):
            store.put(one, job.key, {name: value[index] for name, value in found.items()})

    jobs = {clip.key: Job(clip.key, (clip,)) for some in sets for clip in some.clips}
    damaged = fill([*jobs.values()], features, store.has, find, **{"label": "features", **options})
    skipped = [
        {clip.video.file: damaged[clip.key].reason for clip in some.clips if clip.key in damaged}
        for some in sets
    ]
    for some, files in zip(sets, skipped, strict=True):
        warn(some, files)
    return skipped


def fill(
    jobs: Sequence[Job],
    finders: Sequence[Finder],
    has: Callable[[Finder, str], bool],
    find: Callable[[Finder, Batch], None],
    *,
    progress: bool = True,
    **options: Any,
) -> dict[str, Damage]:
    """Find and store what is missing of jobs, each process a share of them.

    Args:
        jobs: each once; the same on all processes.
        finders: features, or metrics of pairs.
        has: whether the store holds the result of a finder under a key.
        find: computes and stores the results of a batch.
        progress: whether to show a bar, where something is missing.
        options: of ``in_batches``.

    Returns:
        By key, the damage of jobs without a result; of all processes.

    Raises:
        ValueError: if something cannot be found, naming the first file of the batch.
    """
    import torch

    damaged: dict[str, Damage] = {}
    with all_or_none():
        found = ((job, [one for one in finders if not has(one, job.key)]) for job in share(jobs))
        lacking = {job.key: (job, missing) for job, missing in found if missing}

        def run(batch: Batch) -> None:
            for one in finders:
                part = [item for item in batch if one in lacking[item[0].key][1]]
                try:
                    with torch.no_grad():
                        if part:
                            find(one, part)
                except ValueError as error:  # all of a batch have one shape, and so one fault
                    raise ValueError(f"{part[0][0].clips[0].video.path}: {error}") from error

        todo = [job for job, _ in lacking.values()]
        damaged = in_batches(todo, run, progress=progress and is_first(), **options)
    listed = gather((fingerprint([job.key for job in jobs]), damaged))
    if len({keys for keys, _ in listed}) > 1:
        raise ValueError(
            "the processes see different clips: give all the same folders, on a disk that they "
            "share, and let nothing write to them meanwhile"
        )
    return {key: why for _, some in listed for key, why in some.items()}


def warn(clips: ClipSet, skipped: Skipped) -> None:
    """Name the files that are left out, once for all processes."""
    if is_first():
        for file, reason in skipped.items():
            log.warning("%s is left out: %s", clips.folder / file, reason)


def load(clips: ClipSet | Sequence[Clip], features: Features, store: Store) -> Found:
    """Stored features of clips, at least one, stacked in their order.

    Raises:
        ValueError: if a clip has nothing there, or clips are too unlike to be stacked; names files.
    """
    import torch

    some = clips.clips if isinstance(clips, ClipSet) else clips
    stacked: Found = {}
    for index, clip in enumerate(some):
        found = store.get(features, clip.key)
        if found is None:
            raise ValueError(
                f"{store.root} keeps no {features.name} of {clip.video.path}: take them by "
                "`extract`, or evaluate again if the folder was changed meanwhile"
            )
        for name, value in found.items():
            # Filled row by row, so that the loaded features are held once.
            if index == 0:
                stacked[name] = torch.empty((len(some), *value.shape), dtype=value.dtype)
            if value.shape != stacked[name].shape[1:]:
                raise ValueError(
                    f"{features.name} of {clip.video.path} are {tuple(value.shape)}, of "
                    f"{some[0].video.path} {tuple(stacked[name].shape[1:])}: clips that are "
                    "measured together have one length and one size; set --protocol.num_frames "
                    "and --protocol.size"
                )
            stacked[name][index] = value
    return stacked
