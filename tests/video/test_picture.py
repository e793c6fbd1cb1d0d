"""Pixels as a player shows them: orientation, colour, alpha; and what is said of others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from vidiff.video import VideoReader, probe, read_clip, write_video

ONE = 1 << 16  # in the fixed point of display matrices


def by_ffmpeg(path: Path, height: int, width: int) -> np.ndarray:
    """The first frame as the ffmpeg program shows it: (h, w, 3), uint8."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg: apt-get install ffmpeg")
    flags = "bicubic+accurate_rnd+full_chroma_int"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-frames:v", "1", "-sws_flags", flags]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(height, width, 3)


def stored() -> np.ndarray:
    """A picture that no turning or mirroring leaves as it is."""
    picture = np.full((32, 96, 3), 128, np.uint8)
    picture[:16, :48], picture[16:, :48], picture[:16, 48:] = 255, 0, 64
    return picture


@pytest.mark.parametrize(
    ("matrix", "rotation", "mirrored"),
    [
        ((1, 0, 0, 1), 0, False),
        ((-1, 0, 0, 1), 0, True),
        ((1, 0, 0, -1), 180, True),
        ((-1, 0, 0, -1), 180, False),
        ((0, 1, 1, 0), 90, True),
        ((0, -1, 1, 0), 90, False),
        ((0, 1, -1, 0), 270, False),
        ((0, -1, -1, 0), 270, True),
    ],
)
def test_all_display_matrices(tmp_path: Path, matrix, rotation: int, mirrored: bool) -> None:
    path, (a, b, c, d) = tmp_path / "a.mp4", matrix
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 96, "yuv420p"
        stream.set_display_matrix([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30])
        frame = av.VideoFrame.from_ndarray(stored(), format="rgb24")
        file.mux(stream.encode(frame.reformat(format="yuv420p")))
        file.mux(stream.encode())
    # By the definition: (x, y) is shown at (a x + c y, b x + d y).
    rows, columns = np.mgrid[:32, :96]
    x, y = a * columns + c * rows, b * columns + d * rows
    shown = np.zeros((y.max() - y.min() + 1, x.max() - x.min() + 1))
    shown[y - y.min(), x - x.min()] = stored()[..., 0]
    info = probe(path)
    assert (info.height, info.width) == shown.shape
    assert (info.rotation, info.mirrored) == (rotation, mirrored)
    # A mirror image from left to right, then turned anticlockwise.
    turned = stored()[:, ::-1, 0] if mirrored else stored()[..., 0]
    assert np.array_equal(np.rot90(turned, rotation // 90), shown)
    pixels = read_clip(path, num_frames=1)[:, 0].permute(1, 2, 0).add(1).mul(127.5).numpy()
    assert (np.abs(pixels[..., 0] - shown) < 12).mean() > 0.95
    assert np.abs(pixels - by_ffmpeg(path, *shown.shape)).mean() < 3


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_colours_are_not_shifted(tmp_path: Path, ending: str) -> None:
    """A coloured square in the middle comes back with equal edges left and right."""
    pixels = torch.full((3, 2, 64, 64), -0.2)
    pixels[:, :, 16:48, 16:48] = torch.tensor([0.9, -0.7, -0.7])[:, None, None, None]
    path = tmp_path / f"a.{ending}"
    write_video(path, pixels, fps=8)

    def assert_right(back: torch.Tensor) -> None:
        assert (back - back.flip(-1)).abs().mean() < 0.01
        assert (back - back.flip(-2)).abs().mean() < 0.01
        assert 10 * torch.log10(4 / (back - pixels[:, 0]).square().mean()) > 32

    assert_right(read_clip(path, num_frames=1)[:, 0])
    other = torch.from_numpy(by_ffmpeg(path, 64, 64).copy())
    assert_right(other.permute(2, 0, 1) / 127.5 - 1)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_alpha_of_webm(tmp_path: Path, codec: str) -> None:
    """Written by ffmpeg, as PyAV's encoder leaves alpha out."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg: apt-get install ffmpeg")
    path = tmp_path / "a.webm"
    source = "color=white:s=64x64:r=10:d=1,format=yuva420p,geq=lum=235:cb=128:cr=128:"
    source += "a='255*lt(X\\,32)'"
    options = ["-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-g", "3"]
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", codec, *options]
    subprocess.run([*command, str(path)], check=True)
    for start in (0.0, 0.5):
        clip = read_clip(path, start=start, num_frames=4)
        assert clip.shape == (3, 4, 64, 64)
        assert clip[..., :28].min() > 0.9
        assert clip[..., 36:].max() < -0.9


def coded(path: Path, settings: str) -> Path:
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=10, options={"x264-params": settings})
        stream.height, stream.width, stream.pix_fmt = 32, 96, "yuv420p"
        for _ in range(4):
            frame = av.VideoFrame.from_ndarray(stored(), format="rgb24")
            file.mux(stream.encode(frame.reformat(format="yuv420p")))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ("transfer=smpte2084", "hdr", "HDR (PQ)"),
        ("transfer=arib-std-b67", "hdr", "HDR (HLG)"),
        ("tff=1", "interlaced", "deinterlace it first"),
        ("transfer=bt709", None, ""),
    ],
)
def test_remarks(tmp_path: Path, settings: str, kind: str | None, words: str) -> None:
    with VideoReader(coded(tmp_path / "a.mp4", settings)) as reader:
        assert list(reader.remarks) == ([kind] if kind else [])
        assert words in "".join(reader.remarks.values())
