"""Images of frame folders: more than 8 bits are scaled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vidiff.video import VideoError
from vidiff_eval.clips.frame_folder import FrameFolder


def read(folder: Path) -> torch.Tensor:
    """The first frame: (3, h, w), 0 to 255."""
    return FrameFolder(folder).clip(num_frames=1)[:, 0].add(1).mul(127.5)


def ramp(top: int) -> np.ndarray:
    return np.linspace(0, top, 64).round()[None].repeat(16, 0)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_of_grey_are_scaled(tmp_path: Path, ending: str) -> None:
    Image.fromarray(ramp(65535).astype(np.uint16)).save(tmp_path / f"0.{ending}")
    assert (read(tmp_path) - torch.from_numpy(ramp(65535) / 257)).abs().max() <= 0.51


def test_other_depths(tmp_path: Path) -> None:
    grey = Image.fromarray(ramp(255).astype(np.uint8))
    images = {"L": grey, "P": grey.convert("P"), "1": grey.point(lambda v: 255 * (v > 99), "1")}
    for mode, image in images.items():
        (tmp_path / mode).mkdir()
        image.save(tmp_path / mode / "0.png")
        expected = np.asarray(image.convert("L")).astype(np.float32)
        assert (read(tmp_path / mode) - torch.from_numpy(expected)).abs().max() <= 0.01, mode


def test_sixteen_bits_of_colour(tmp_path: Path) -> None:
    import av

    pixels = np.stack([ramp(65535), ramp(65535)[:, ::-1], ramp(30000)], -1).astype(np.uint16)
    with av.open(tmp_path / "0.png", "w", format="image2", options={"update": "1"}) as file:
        stream = file.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = 16, 64, "rgb48be"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(format="rgb48be")
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    expected = torch.from_numpy(pixels.astype(np.float32) / 257).permute(2, 0, 1)
    assert (read(tmp_path) - expected).abs().max() <= 1


def test_values_of_unknown_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(ramp(1).astype(np.float32)).save(tmp_path / "0.tif")
    with pytest.raises(VideoError, match=r"0\.tif: its pixels are floats, .*8 or 16 bits"):
        read(tmp_path)
    Image.fromarray((ramp(1) * 1e6).astype(np.int32)).save(tmp_path / "0.tif")
    with pytest.raises(VideoError, match=r"0\.tif: its pixels have more than 16 bits"):
        read(tmp_path)
