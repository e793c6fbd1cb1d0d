"""Features of clips: found once, with decoding overlapped and shared among processes, then kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from vidiff_eval.clips.clip import THREADS, Clip, ClipSet
from vidiff_eval.clips.frame_folder import shown_size
from vidiff_eval.extraction.decode_ahead import in_batches
from vidiff_eval.extraction.processes import all_or_none, gather, is_first, share
from vidiff_eval.extraction.store import Store
from vidiff_eval.features.base import Features, Found
from vidiff_eval.protocols.protocol import fingerprint

if TYPE_CHECKING:
    import torch
    from torch import Tensor

log = logging.getLogger(__name__)


def extract(
    sets: Sequence[ClipSet],
    features: Sequence[Features],
    store: Store,
    *,
    batch_size: int = 8,
    workers: int | None = None,
    progress: bool = True,
    label: str = "",
) -> list[dict[str, str]]:
    """Make sure that the store holds what each of ``features`` finds of each clip.

    A clip is decoded once for all features that lack it, and not at all when none does; clips of
    equal content count as one. Of several processes, all have to call this with the same
    arguments; each takes a share, and the store holds everything when they return.

    Args:
        sets: of clips.
        features: what is found of them.
        store: keeps it.
        batch_size: clips that go through a network at once.
        workers: decoding threads; by default one a core, eight at most.
        progress: whether to show a bar, where something is missing.
        label: what the bar says.

    Returns:
        For each set, its files that turned out to be damaged and why; a warning names them.
        Leave them out by ``ClipSet.without``.

    Raises:
        ValueError: if features cannot be taken from a clip, naming its file; on all processes if
            on one.
    """
    clips = list({clip.key: clip for some in sets for clip in some.clips}.values())
    reasons: dict[str, str] = {}
    with all_or_none():
        for clip, reason in _extract(
            share(clips), features, store, batch_size, workers, progress and is_first(),
            label or "features",
        ):  # fmt: skip
            reasons[clip.key] = reason
    listed = gather((fingerprint([clip.key for clip in clips]), reasons))
    if len({keys for keys, _ in listed}) > 1:
        raise ValueError(
            "the processes see different clips: give all the same folders, on a disk that they "
            "share, and let nothing write to them meanwhile"
        )
    everywhere = {key: why for _, found in listed for key, why in found.items()}
    damaged = [
        {clip.video.file: everywhere[clip.key] for clip in some.clips if clip.key in everywhere}
        for some in sets
    ]
    if is_first():
        for some, files in zip(sets, damaged, strict=True):
            for file, reason in files.items():
                log.warning("%s is left out: %s", some.folder / file, reason)
    return damaged


def _extract(
    clips: Sequence[Clip],
    features: Sequence[Features],
    store: Store,
    batch_size: int,
    workers: int | None,
    progress: bool,
    label: str,
) -> list[tuple[Clip, str]]:
    """Find and keep what is missing; the clips that are damaged, and why."""
    lacking = {
        clip.key: missing
        for clip in clips
        if (missing := [one for one in features if not store.has(one, clip.key)])
    }

    def run(batch: list[tuple[Clip, tuple[Tensor, ...]]]) -> None:
        for one in features:
            part = [(clip, pixels) for clip, (pixels,) in batch if one in lacking[clip.key]]
            if part:
                _find(one, part, store)

    jobs = [(clip, (clip,)) for clip in clips if clip.key in lacking]
    found = in_batches(
        jobs, run, batch_size=batch_size, workers=workers, progress=progress, label=label
    )
    return [(clip, reason) for clip, _, reason in found]


def _find(features: Features, batch: Sequence[tuple[Clip, Tensor]], store: Store) -> None:
    import torch

    clips = [clip for clip, _ in batch]
    try:
        with torch.no_grad():
            found = features.extract(torch.stack([pixels for _, pixels in batch]))
    except ValueError as error:  # clips of a batch are of one shape: what is wrong is so of all
        raise ValueError(f"{clips[0].video.path}: {error}") from error
    for name, value in found.items():
        assert len(value) == len(clips), f"{type(features).__name__} finds {name} of {len(value)}"
    for index, clip in enumerate(clips):
        store.put(features, clip.key, {name: value[index] for name, value in found.items()})


def load(
    clips: ClipSet | Sequence[Clip],
    features: Features,
    store: Store,
    names: Sequence[str] | None = None,
    device: torch.device | str = "cpu",
) -> Found:
    """What is kept of clips, stacked in their order.

    Args:
        clips: at least one.
        features: what was found of them.
        store: that keeps it.
        names: of the tensors to load; by default all.
        device: to put them on.

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
        for name in names or found:
            # Filled row by row, so that what is loaded is held once.
            if index == 0:
                stacked[name] = torch.empty(
                    (len(some), *found[name].shape), dtype=found[name].dtype
                )
            if found[name].shape != stacked[name].shape[1:]:
                raise ValueError(
                    f"{features.name} of {clip.video.path} are {tuple(found[name].shape)}, of "
                    f"{some[0].video.path} {tuple(stacked[name].shape[1:])}: clips that are "
                    "measured together have one length and one size; set --protocol.num_frames "
                    "and --protocol.size"
                )
            stacked[name][index] = found[name]
    return {name: value.to(device) for name, value in stacked.items()}


def check_sizes(sets: Sequence[ClipSet]) -> None:
    """Check that all clips have one length and one size; looks at each file's first frame at most.

    Of several processes, all have to call this; each looks at a share of the files.

    Raises:
        ValueError: if they do not; names two files and says what to do.
    """
    clips = [clip for some in sets for clip in some.clips]
    if not clips:
        return
    first = clips[0]
    for clip in clips:
        if clip.num_frames != first.num_frames:
            raise ValueError(
                f"clips differ in length: {first.video.path} gives {first.num_frames} frames, "
                f"{clip.video.path} {clip.num_frames}; set --protocol.num_frames "
                f"{min(clip.num_frames for clip in clips)} or less"
            )
    files = {clip.video.path: clip.video.scale for clip in clips if clip.size is None}
    paths, sizes = list(files), {}
    with all_or_none():
        mine = share(paths)
        with ThreadPoolExecutor(THREADS) as pool:
            sizes = dict(zip(mine, pool.map(_size, mine), strict=True))
    everywhere = {path: size for found in gather(sizes) for path, size in found.items()}
    known = [
        (path, (size[0] // files[path], size[1] // files[path]))
        for path in paths
        if (size := everywhere.get(path))
    ]
    for path, size in known:
        if size != known[0][1]:
            low, across = (min(sizes) for sizes in zip(*(size for _, size in known), strict=True))
            raise ValueError(
                f"videos differ in size: {known[0][0]} is {_words(known[0][1])}, {path} "
                f"{_words(size)} (height x width); set --protocol.size {low},{across}: each is "
                "then scaled to cover that, and its centre taken"
            )


def _size(path: Path) -> tuple[int, int] | None:
    """None for a file that is damaged: who reads it will say so."""
    from vidiff.video import VideoError

    try:
        return shown_size(path)
    except VideoError:
        return None


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
