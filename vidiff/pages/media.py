"""Videos inside a page: as they are where browsers play them, else as small copies."""

from __future__ import annotations

import base64
import mimetypes
import tempfile
from dataclasses import dataclass
from pathlib import Path

PLAYED = {".mp4", ".webm", ".gif"}  # endings of files that browsers mostly play
LARGEST = 400_000  # bytes above which a smaller copy is shown
MAX_SIDE = 256  # pixels of the longer side of a copy
MAX_FRAMES = 64  # frames of a copy
SLACK = 1.25  # files this much longer than their clip are cut to it


@dataclass(frozen=True)
class Media:
    """A video as an address that holds all of it, and whether it is for ``<img>``."""

    uri: str
    is_image: bool


def embed(path: Path) -> Media:
    """A file as it is."""
    kind = mimetypes.guess_type(path.name)[0] or "video/mp4"
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Media(f"data:{kind};base64,{data}", kind.startswith("image/"))


def embed_clip(
    path: Path,
    *,
    start: float = 0.0,
    num_frames: int | None = None,
    fps: float | None = None,
    stride: int = 1,
) -> Media | None:
    """A clip of a file, small; None if it cannot be read.

    The clip starts at a second, and takes every ``stride``-th of the frames that the file has at
    ``fps``. The file is taken as it is if browsers play it, it is small and holds little but the
    clip; else the clip is written anew.
    """
    from vidiff.video import probe

    try:
        info = probe(path)
        rate = (info.fps if fps is None else fps) / stride
        available = max(1, round((info.duration - start) * rate))
        length = available if num_frames is None else min(num_frames, available)
        is_whole = info.duration <= SLACK * length / rate
        plays = path.suffix.lower() in PLAYED and _is_for_browsers(path)
        if plays and is_whole and path.stat().st_size <= LARGEST:
            return embed(path)
        scale = min(1.0, MAX_SIDE / max(info.height, info.width))
        height, width = (max(2, round(side * scale)) for side in (info.height, info.width))
        return _copy(path, start, min(length, MAX_FRAMES), rate, (height, width))
    except (ValueError, OSError):
        return None


def _copy(path: Path, start: float, num_frames: int, fps: float, size: tuple[int, int]) -> Media:
    from vidiff.video import read_clip, write_video

    pixels = read_clip(path, num_frames=num_frames, start=start, fps=fps, size=size)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "clip.mp4"
        write_video(copy, pixels, fps)
        return embed(copy)


def _is_for_browsers(path: Path) -> bool:
    """Whether the codec is one that browsers have: an .mp4 may hold others."""
    if path.suffix.lower() == ".gif":
        return True
    import av

    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        return stream.codec_context.name in _CODECS and stream.codec_context.pix_fmt == "yuv420p"


_CODECS = {"h264", "vp8", "vp9", "libvpx-vp9", "libvpx", "av1", "libdav1d"}
