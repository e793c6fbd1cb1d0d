"""The videos of a folder, each once, with their prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vidiff.captions import (
    TABLES,
    check_texts,
    file_key,
    folder_table,
    read_caption,
    read_list,
    read_table,
    text_beside,
)  # fmt: skip
from vidiff.folders import EXTENSIONS, IMAGES, Contents, group_by_stem, scan
from vidiff_eval.clips.frame_folder import natural
from vidiff_eval.clips.sample_index import BEGUN, INDEX, read_samples

if TYPE_CHECKING:
    from vidiff.video import Timeline


@dataclass(frozen=True)
class VideoFile:
    """A video file of a folder."""

    folder: Path  # that it was found in
    file: str  # its path within the folder
    prompt: str = ""  # that it was made from, or its caption; empty where there is none
    seed: int | None = None  # that it was made with, where it is known
    scale: int = 1  # pixels of the file that stand for one of the video, along each axis
    sha256: str = ""  # of the file
    fps: float = 0.0  # frames per second
    # when its frames are shown; None until it is opened
    timeline: Timeline | None = field(default=None, compare=False, repr=False)
    # by kind, what a user has to know of the file
    remarks: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.folder / self.file

    @property
    def times(self) -> Timeline:
        """When its frames are shown."""
        assert self.timeline is not None, "it was not opened"
        return self.timeline


@dataclass
class Listing:
    """The videos of a folder."""

    files: list[VideoFile]  # in natural order of their names, or in that of the index
    left_out: dict[str, str] = field(default_factory=dict)  # why, by link or special file
    notes: list[str] = field(default_factory=list)  # for readers of the scores
    twins: dict[str, list[str]] = field(default_factory=dict)  # files that differ in the ending


def list_videos(folder: Path, prompts: Path | None = None) -> Listing:
    """What ``samples.jsonl`` lists, or else all videos of a folder and its subfolders.

    Subfolders that ``vidiff sample`` wrote count as their own ``samples.jsonl`` says.

    Args:
        folder: of video files, or of folders of images if there are no video files.
        prompts: a file of prompts, see ``read_prompts``; by default what the folder says.

    Raises:
        ValueError: if there is no such folder, it has no video, or captions cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; give one of video files")
    sampled = (folder / INDEX).is_file()
    listing = Listing(_samples(folder, "")) if sampled else _search(folder, prompts is None)
    return listing if prompts is None else _with_prompts(listing, folder, prompts)


def _search(folder: Path, with_captions: bool) -> Listing:
    contents = scan(folder)
    indices = _indices(folder, contents.videos)
    sampled = [sample for index in indices for sample in _samples(folder, index)]
    loose = [path for path in contents.videos if not _within(path, indices)]
    twins = group_by_stem(loose)
    if loose or sampled:
        names, notes = [*twins], _of_images(contents, indices, (loose or [sampled[0].file])[0])
    else:
        names = [path for path in contents.images if path]
        notes = _of_images(contents, names, names[0]) if names else iter(())
    if not names and not sampled:
        raise ValueError(_nothing(contents))
    captions, more = _captions(folder, names, twins) if with_captions else ({}, [])
    files = [VideoFile(folder, name, prompt=captions.get(name, "")) for name in names]
    return Listing(
        sorted([*sampled, *files], key=lambda video: (natural(video.file), video.file)),
        {path: why for path, why in contents.left_out.items() if path not in names},
        [*notes, *more, *_of_unfinished(folder, names), *_of_twins(twins)],
        twins,
    )


def _captions(
    folder: Path, names: Sequence[str], twins: Mapping[str, Sequence[str]]
) -> tuple[dict[str, str], list[str]]:
    """Captions of videos, from the folder's table or texts beside them, and notes on the table."""
    from vidiff.data.folder_notes import of_captions

    table = folder_table(folder)
    known = [*names, *chain.from_iterable(twins.values())] if table else []
    captions = {name: _given(table, name, twins.get(name, ())) for name in names}
    bare = [name for name, caption in captions.items() if not caption]
    texts = {name: text for name in bare if (text := text_beside(folder / name))}
    check_texts(texts.values())
    captions |= {name: read_caption(text) for name, text in texts.items()}
    return captions, [*of_captions(folder, table, {file_key(name) for name in known})]


def _of_twins(twins: Mapping[str, Sequence[str]]) -> Iterator[str]:
    alike = [(name, others) for name, others in twins.items() if others]
    for name, others in alike[:1]:
        number = sum(len(others) for _, others in alike)
        yield (
            f"{number} files only differ from another in the ending ({others[0]} from {name}): "
            "they count as the same video and are left out"
        )


def _of_unfinished(folder: Path, names: Sequence[str]) -> Iterator[str]:
    """A note on sample folders that have no ``samples.jsonl`` yet."""
    places = sorted({str(PurePosixPath(name).parent) for name in names})
    begun = [str(folder / place) for place in places if (folder / place / BEGUN).is_file()]
    if begun:
        yield (
            f"`vidiff sample` has not finished in {', '.join(begun[:3])}: prompts, and whether "
            "files are enlarged, are not known; run it again, and it goes on"
        )


def _samples(folder: Path, place: str) -> list[VideoFile]:
    """What ``samples.jsonl`` lists; a file that several processes listed counts once."""
    files: dict[str, VideoFile] = {}
    for sample in read_samples(folder / place):
        name = f"{place}/{sample.file}" if place else sample.file
        file = VideoFile(folder, name, prompt=sample.prompt, seed=sample.seed, scale=sample.scale)
        if files.setdefault(name, file) != file:
            raise ValueError(
                f"{folder / place / INDEX} lists {sample.file} twice, with other settings"
            )
    return list(files.values())


def _indices(folder: Path, videos: Iterable[str]) -> list[str]:
    """The outermost folders above videos that have a ``samples.jsonl``."""
    above = {str(one) for path in videos for one in PurePosixPath(path).parents} - {"."}
    found: list[str] = []
    for place in sorted(above):  # a folder comes before what is in it
        if not _within(place, found) and (folder / place / INDEX).is_file():
            found.append(place)
    return found


def _within(path: str, places: Sequence[str]) -> bool:
    return any(path.startswith(f"{place}/") for place in places)


def _of_images(contents: Contents, used: Sequence[str], video: str) -> Iterator[str]:
    """A note on images that are not read, where they may be videos."""
    if images := contents.unread_images(used):
        yield (
            f"{images} are not read, since {video} is a video next to them; if they are frames of "
            "videos, put these into a folder without other videos, each into a folder of its own"
        )


def _nothing(contents: Contents) -> str:
    step = ""
    if contents.images:
        first, name, _ = contents.frame_names()
        step = f": put {first} and the other frames of {name} into a folder {name}, and so on"
        if not name:
            step = f". If {first} and the others are frames of one video, give the folder above"
    return (
        f"{contents.root} has no video that can be read ({contents.describe()}). A video is a file "
        f"({' '.join(EXTENSIONS)}) or a folder with an image ({' '.join(IMAGES)}) for each frame"
        f"{step}"
    )


def _given(captions: Mapping[str, str], name: str, twins: Iterable[str]) -> str:
    """The caption of a video, by the file that is read or else by another one of it."""
    found = (captions.get(file_key(one), "") for one in (name, *twins))
    return next((caption for caption in found if caption), "")


def _with_prompts(listing: Listing, folder: Path, path: Path) -> Listing:
    files, prompts = listing.files, read_prompts(path, folder)
    if isinstance(prompts, list):
        if len(prompts) != len(files):
            raise ValueError(
                f"prompts {path} have {len(prompts)} lines for {len(files)} videos; give a line "
                "for each video in the order of their names, or a .csv with path,caption"
            )
        given = dict(zip((f.file for f in files), prompts, strict=True))
    else:
        twins = listing.twins
        given = {f.file: _given(prompts, f.file, twins.get(f.file, ())) for f in files}
    if missing := [file.file for file in files if not given[file.file]]:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ValueError(
            f"prompts {path} have none for {missing[0]}{more}; paths are relative to {folder}, "
            "with their endings"
        )
    return replace(listing, files=[replace(f, prompt=given[f.file]) for f in files])


def read_prompts(path: Path, folder: Path = Path()) -> dict[str, str] | list[str]:
    """Prompts by file (``.csv``, ``.jsonl``), or one a line; see ``vidiff.captions``.

    Paths in a table are relative to ``folder``; those out of it are left out.

    Raises:
        ValueError: if the file is missing, empty or broken, or names a video twice; says where.
    """
    if path.suffix.lower() not in TABLES:
        return read_list(path)
    prompts = read_table(path, folder, outside="skip")
    if not prompts:
        raise ValueError(f"prompts {path} are empty, or all for files out of {folder}")
    if bare := [file for file, prompt in prompts.items() if not prompt]:
        raise ValueError(f"prompts {path}: the prompt of {bare[0]} is empty")
    return prompts
