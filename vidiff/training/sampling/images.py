"""Pictures that sampled videos begin with (``vidiff sample --image``)."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from vidiff.fingerprints import file_hash


def image_hashes(files: str) -> list[str]:
    """Hashes of the files that semicolons separate."""
    return [file_hash(path) for path in _paths(files)]


def read_images(files: str, num_videos: int, size: tuple[int, int]) -> Tensor:
    """One picture for each video: (b, 3, h, w) in [-1, 1], scaled to cover h x w, and cropped.

    Raises:
        ValueError: if there are neither one nor as many, or one cannot be read.
    """
    paths = _paths(files)
    if len(paths) not in (1, num_videos):
        raise ValueError(
            f"--image has {len(paths)} files for {num_videos} prompts: give one, or one for each"
        )
    pictures = [_read(path, size) for path in paths]
    return torch.stack(pictures * (num_videos if len(paths) == 1 else 1))


def _paths(files: str) -> list[Path]:
    return [Path(name.strip()).expanduser() for name in files.split(";") if name.strip()]


def _read(path: Path, size: tuple[int, int]) -> Tensor:
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
            fitted = ImageOps.fit(upright, size[::-1], Image.Resampling.BICUBIC)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"--image {path} cannot be read as a picture: {error}") from error
    values = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
    return values.view(*size, 3).permute(2, 0, 1) / 127.5 - 1
