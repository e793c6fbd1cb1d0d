"""Videos of either form: a file, or a folder with an image for each frame."""

from __future__ import annotations

import hashlib
import re
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from vidiff.files import sha256
from vidiff.folders import IMAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image
    from torch import Tensor

    from vidiff.video import Timeline, VideoReader

RATE = 25.0
"""Nominal frames per second of a folder, which has no rate: only its frames are counted."""


def open_video(path: Path) -> AbstractContextManager[VideoReader | FrameFolder]:
    """A video to read clips of, open within a ``with`` block.

    Raises:
        VideoError: if it cannot be opened.
    """
    from vidiff.video import VideoReader

    return nullcontext(FrameFolder(path)) if path.is_dir() else VideoReader(path)


def shown_size(path: Path) -> tuple[int, int]:
    """Height and width at which a video is shown; decodes its first frame.

    Raises:
        VideoError: if it cannot be read.
    """
    from vidiff.video import probe

    if path.is_dir():
        height, width = FrameFolder(path).clip(num_frames=1).shape[2:]
        return height, width
    info = probe(path)
    return info.height, info.width


def content_hash(path: Path) -> str:
    """SHA-256 of a video's content; computed once for as long as its files do not change."""
    if path.is_dir():
        parts = [content_hash(image) for image in _images(path)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    about = path.stat()
    return _hash(path, about.st_size, about.st_mtime_ns, about.st_ino)


def natural(name: str) -> list[tuple[int, str]]:
    """A key to sort names by in which numbers count as such: ``2.mp4`` before ``10.mp4``."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


class FrameFolder:
    """A folder of images that are the frames of a video, in the order of their names.

    Has what clips need of ``VideoReader``, and scales and crops as that does.

    Args:
        path: the folder.

    Raises:
        VideoError: if it has no images.
    """

    fps = RATE
    remarks: Mapping[str, str] = {}  # as of a ``VideoReader``

    def __init__(self, path: Path) -> None:
        from vidiff.video import VideoError

        self.path = path
        if not self.images:
            raise VideoError(path, "the folder has no images", "remove it")

    @cached_property
    def images(self) -> list[Path]:
        """The frames' files."""
        return _images(self.path)

    @property
    def timeline(self) -> Timeline:
        """When the frames are shown, at the nominal rate."""
        from vidiff.video import Timeline

        return Timeline.even(len(self.images), RATE)

    def clip(
        self,
        *,
        num_frames: int,
        start: float = 0.0,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Read (3, num_frames, height, width) in [-1, 1], as ``VideoReader.clip`` does.

        Raises:
            VideoError: if there are too few images, or one is damaged or of another size.
        """
        import numpy as np
        import torch

        from vidiff.video import VideoError

        try:
            wanted = self.timeline.numbers(num_frames, start, fps)
        except ValueError:
            last = round((start + (num_frames - 1) / (fps or RATE)) * RATE) + 1
            raise VideoError(
                self.path, f"has {len(self.images)} images, the clip asks for {last}",
                "ask for fewer frames",
            ) from None  # fmt: skip
        frames = [self._picture(self.images[index], size) for index in wanted]
        if len({frame.shape for frame in frames}) > 1:
            raise VideoError(self.path, "its images differ in size", "ask for a size")
        pixels = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)
        return pixels.float().div_(127.5).sub_(1)

    def _picture(self, path: Path, size: tuple[int, int] | None):  # type: ignore[no-untyped-def]
        import numpy as np
        from PIL import Image

        from vidiff.video import VideoError

        try:
            with Image.open(path) as image:
                rgb = _eight_bits(image)
        except ValueError as error:
            raise VideoError(self.path, f"{path.name}: {error}", "or remove it") from error
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(self.path, f"{path.name} is damaged ({error})", "remove it") from error
        black = Image.new("RGBA", rgb.size, "black")
        rgb = Image.alpha_composite(black, rgb).convert("RGB")
        height, width = size or (rgb.height, rgb.width)
        scale = max(height / rgb.height, width / rgb.width)
        cover = max(width, round(rgb.width * scale)), max(height, round(rgb.height * scale))
        if cover != rgb.size:
            how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
            rgb = rgb.resize(cover, how)
        left, top = round((cover[0] - width) / 2), round((cover[1] - height) / 2)
        return np.asarray(rgb)[top : top + height, left : left + width]


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image as RGBA; more bits are scaled, not cut off.

    Raises:
        ValueError: if nothing says which values are black and white.
    """
    import numpy as np
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floats, of unknown range: save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16 bits of grey, which some versions of PIL hold in 32
        values = np.asarray(image).astype(np.float64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels have more than 16 bits: save it with 8 or 16")
        image = Image.fromarray((values / 257).round().astype(np.uint8))
    return image.convert("RGBA")


def _images(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES]
    shown = [path for path in found if not path.name.startswith(".")]
    return sorted(shown, key=lambda path: natural(path.name))


@lru_cache(maxsize=1 << 16)
def _hash(path: Path, size: int, changed: int, inode: int) -> str:
    return sha256(path)
