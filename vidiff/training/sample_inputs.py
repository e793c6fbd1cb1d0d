"""What sampled videos are conditioned on besides their prompts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from vidiff.fingerprints import file_hash


def for_each(inputs: Mapping[str, Any], num_videos: int) -> dict[str, Any]:
    """Inputs that are the same for all videos, once for each: numbers as tensors (b, ...).

    Raises:
        ValueError: if a value is neither text nor numbers.
    """

    def repeated(name: str, value: Any) -> Any:
        if isinstance(value, str):
            return [value] * num_videos
        try:
            tensor = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"--inputs {name}: {value!r} is neither text, a number, nor numbers in lists of "
                "one length"
            ) from error
        return tensor.expand(num_videos, *tensor.shape)

    return {name: repeated(name, value) for name, value in inputs.items()}


def image_paths(files: str) -> list[Path]:
    """Files apart by semicolons."""
    return [Path(name.strip()).expanduser() for name in files.split(";") if name.strip()]


def image_hashes(files: str) -> list[str]:
    """What tells whether the pictures are still the same."""
    return [file_hash(path) for path in image_paths(files)]


def read_images(files: str, num_videos: int, size: tuple[int, int]) -> Tensor:
    """One picture for each video: (b, 3, h, w) in [-1, 1].

    Args:
        files: one for all videos, or as many as there are videos, with semicolons between.
        num_videos: b.
        size: height and width; a picture is scaled to cover it and cropped at its centre.

    Raises:
        ValueError: if there are neither one nor as many, or one cannot be read.
    """
    paths = image_paths(files)
    if len(paths) not in (1, num_videos):
        raise ValueError(
            f"--image has {len(paths)} files for {num_videos} prompts: give one for all, or one "
            "for each"
        )
    pictures = [_read(path, size) for path in paths]
    return torch.stack(pictures * (num_videos if len(paths) == 1 else 1))


def _read(path: Path, size: tuple[int, int]) -> Tensor:
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
            fitted = ImageOps.fit(upright, size[::-1], Image.Resampling.BICUBIC)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"--image {path} cannot be read as a picture: {error}") from error
    values = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
    return values.view(*size, 3).permute(2, 0, 1) / 127.5 - 1
