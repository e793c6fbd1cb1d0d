"""What lies in a folder of videos: video files, images, and what can be neither."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".gif"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".flv", ".ogv", ".wmv", ".y4m"),
)
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

_FRAME = re.compile(r"(.*?)[-_. ]*(\d+)")


@dataclass
class Contents:
    """What a folder holds; hidden files and folders do not count. Paths are relative to it.

    ``left_out`` are links and special files that are called like videos, and folders that are not
    searched.
    """

    root: Path
    videos: list[str] = field(default_factory=list)  # files that are called like videos, sorted
    texts: dict[str, str] = field(default_factory=dict)  # next to a video, of its name; by video
    images: Counter[str] = field(default_factory=Counter)  # files by folder; "" is ``root``
    first_images: dict[str, str] = field(default_factory=dict)  # name of the first, by folder
    others: Counter[str] = field(default_factory=Counter)  # all other files, by ending
    left_out: dict[str, str] = field(default_factory=dict)  # why, by path

    def describe(self) -> str:
        """What there is instead of videos, for a message that says that there are none."""
        counts = Counter({f"{end} files" if end else "files without ending": number
                          for end, number in self.others.items()})  # fmt: skip
        counts["image files"] += sum(self.images.values())
        held = ", ".join(f"{n} {what}" for what, n in counts.most_common(4) if n)
        left = ", ".join(f"{path} ({why})" for path, why in [*self.left_out.items()][:3])
        said = [f"it holds {held}" if held else "", f"left out: {left}" if left else ""]
        return "; ".join(part for part in said if part) or "it is empty"

    def unread_images(self, used: Collection[str] = ()) -> str:
        """Where images are that may be frames, for a message; empty if nowhere but in ``used``."""
        places = {
            path or str(self.root): number
            for path, number in sorted(self.images.items())
            if number > 1 and not any(f"{path}/".startswith(f"{place}/") for place in used)
        }
        listed = ", ".join([*places][:3]) + (", …" if len(places) > 3 else "")
        return f"{sum(places.values())} images in {listed}" if places else ""

    def frame_names(self) -> tuple[str, str, str]:
        """Of images that are frames: the first, its video's name or "", and its path for FFmpeg."""
        folder = "" if "" in self.images else min(self.images)
        first = self.first_images[folder]
        stem, ending = os.path.splitext(first)
        match = _FRAME.fullmatch(stem)
        video, number = match.groups() if match else ("", "")
        pattern = f"{stem[: -len(number)]}%0{len(number)}d{ending}" if number else f"*{ending}"
        if folder:
            return f"{folder}/{first}", folder.rpartition("/")[2], f"{folder}/{pattern}"
        return first, video, pattern


def group_by_stem(paths: Iterable[str]) -> dict[str, list[str]]:
    """Each video once, with the files that only differ from it in the ending; a gif comes last."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(os.path.splitext(path)[0], []).append(path)
    ordered = (sorted(group, key=_rank) if len(group) > 1 else group for group in groups.values())
    return {first: others for first, *others in ordered}


def _rank(path: str) -> tuple[bool, int]:
    ending = os.path.splitext(path)[1].lower()
    return ending == ".gif", EXTENSIONS.index(ending)


def scan(root: Path, *, links_out: bool = True) -> Contents:
    """Search a folder and its subfolders; ``links_out`` says if links to files outside count."""
    contents, inside = Contents(root), root.resolve()
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                shown = sorted((e for e in entries if e.name[0] != "."), key=lambda e: e.name)
        except OSError as error:
            contents.left_out[folder or "."] = f"a folder that cannot be read ({error.strerror})"
            continue
        texts = {normalize("NFC", e.name[:-4]): e for e in shown if e.name.endswith(".txt")}
        for entry in shown:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            _sort(contents, path, entry, texts, None if links_out else inside)
    contents.videos.sort()
    return contents


def _sort(
    contents: Contents,
    path: str,
    entry: os.DirEntry[str],
    texts: dict[str, os.DirEntry[str]],
    inside: Path | None,
) -> None:
    """Put an entry where it belongs in ``contents``; ``texts`` are beside it."""
    folder, (stem, ending) = path.rpartition("/")[0], os.path.splitext(entry.name)
    is_link = entry.is_symlink()
    if os.path.isdir(entry.path) if is_link else entry.is_dir():
        if is_link:
            contents.left_out[path] = (
                "a link to a folder, which is not searched; put the folder itself there"
            )
        elif ending.lower() in EXTENSIONS:
            contents.left_out[path] = "a folder, not a file; the files in it are searched"
    elif ending.lower() in EXTENSIONS:
        if why := _no_file(entry, inside):
            contents.left_out[path] = why
            return
        contents.videos.append(path)
        text = texts.get(normalize("NFC", stem))
        if text is not None and (why := _no_file(text, None)):
            contents.left_out[f"{folder}/{text.name}".lstrip("/")] = f"its caption is {why}"
        elif text is not None:
            contents.texts[path] = f"{folder}/{text.name}".lstrip("/")
    elif ending.lower() in IMAGES:
        contents.images[folder] += 1
        contents.first_images.setdefault(folder, entry.name)
    else:
        contents.others[ending.lower()] += 1


def _no_file(entry: os.DirEntry[str], inside: Path | None) -> str:
    """Why an entry cannot be read as a file; empty if it can."""
    if entry.is_file(follow_symlinks=False):
        return ""
    if entry.is_symlink():
        try:
            target = Path(entry.path).resolve(strict=True)
        except (OSError, RuntimeError):  # the latter for a link that leads to itself
            return f"a link to {os.readlink(entry.path)} that leads to no file; mend or remove it"
        if inside is not None and not target.is_relative_to(inside):
            return (
                "a link that leads out of root; put the file itself there, or set root to a "
                "folder that holds both"
            )
    if entry.is_file():
        return ""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
    return f"{kinds.get(stat.S_IFMT(entry.stat().st_mode), 'a device')}, not a file; remove it"
