"""Videos inside a page are ones that browsers play, and no longer than what is shown."""

from __future__ import annotations

import base64
from pathlib import Path

import av
import numpy as np
import torch

from vidiff.pages import media
from vidiff.video import probe, write_video


def test_what_browsers_do_not_play_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 240, 640, "yuv420p"
        for k in range(20):
            picture = np.full((240, 640, 3), 10 * k, dtype=np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    found = media.embed_clip(path, start=1.0, num_frames=4)
    assert found is not None
    info = probe(_written(tmp_path / "copy.mp4", found))
    assert (info.height, info.width, info.num_frames) == (96, 256, 4)
    renamed = path.rename(tmp_path / "clip.mp4")  # the ending alone makes no file playable
    assert media.embed_clip(renamed) != media.embed(renamed)


def test_files_are_cut_to_their_clip(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    write_video(path, torch.rand(3, 40, 32, 32) * 2 - 1, fps=10)
    assert media.embed_clip(path) == media.embed(path)
    assert media.embed_clip(path, num_frames=20, stride=2) == media.embed(path)
    clip = media.embed_clip(path, start=2.0, num_frames=5, fps=5)
    assert clip is not None
    info = probe(_written(tmp_path / "copy.mp4", clip))
    assert (info.num_frames, info.fps) == (5, 5)
    path.write_bytes(b"damaged")
    assert media.embed_clip(path) is None


def _written(path: Path, found: media.Media) -> Path:
    path.write_bytes(base64.b64decode(found.uri.partition(",")[2]))
    return path
