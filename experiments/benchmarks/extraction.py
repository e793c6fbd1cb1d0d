"""How much faster are features of real files with decoding overlapped than with plain loops?

    python experiments/benchmarks/extraction.py [--videos ../shared/videos/clips] [--rounds 3]

Three ways from video files to features of a clip of each, of the same frames and the same network,
in turns within one run:

- ``extract`` of this project: seeks to the clip, decodes it alone, in threads ahead of the network.
  Listing, hashing and keeping the features are part of its time.
- as with torchvision's ``read_video``, which newer versions no longer have: all frames of the file
  to arrays with PyAV, then the clip taken of them, one file after the other.
- as with pytorchvideo: the clip's time range decoded at full size with PyAV, frames subsampled
  evenly, the short side scaled, one file after the other.

With I3D where its weights are found, and with a small stand-in, which is as fast beside decoding as
I3D is on a GPU. Without ``--videos`` at hand,
files are written: noise that drifts, 320 x 240. Also prints the share of a plain loop that decoding
takes: no overlap can win more than that.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import torch
from einops import repeat
from timing import in_turns
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vidiff.video import write_video
from vidiff_eval.clips import frame_folder as frames
from vidiff_eval.clips.choose import choose_clips
from vidiff_eval.clips.clip import Clip, ClipSet
from vidiff_eval.extraction.extract import extract, load
from vidiff_eval.extraction.store import Store
from vidiff_eval.features.base import Features, Found
from vidiff_eval.features.i3d import I3D
from vidiff_eval.protocols.protocol import Protocol

VIDEOS = Path(__file__).parents[3] / "shared" / "videos" / "clips"
SIDE = 224


class StandIn(Features):
    """A small network, with random weights."""

    name: ClassVar[str] = "stand_in"
    settings: ClassVar[dict[str, Any]] = {"features": "stand_in"}  # type: ignore[assignment]

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv3d(3, 32, (3, 7, 7), stride=(2, 4, 4)), nn.ReLU(),
            nn.Conv3d(32, 64, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(),
        )  # fmt: skip

    def extract(self, clips: Tensor) -> Found:
        """Features (b, 64)."""
        return {"features": self.network.to(self.device)(clips.to(self.device)).cpu()}


def networks() -> list[Features]:
    """The stand-in, and I3D where its weights are at hand."""
    try:
        i3d = I3D()
        _ = i3d.settings
    except ValueError as error:
        print(f"without I3D: {error}")
        return [StandIn()]
    return [i3d, StandIn()]


def write_files(folder: Path, count: int = 12, num_frames: int = 160) -> Path:
    """Files that take time to decode: noise that drifts."""
    generator = torch.Generator().manual_seed(0)
    for index in range(count):
        noise = torch.rand(3, 60, 80 + num_frames, generator=generator) * 2 - 1
        video = torch.stack([noise[..., k : k + 80] for k in range(num_frames)], dim=1)
        write_video(folder / f"{index}.mp4", repeat(video, "c f h w -> c f (h 4) (w 4)"), fps=25)
    return folder


def ours(folder: Path, protocol: Protocol, features: Features, batch_size: int) -> Tensor:
    """Features of all files by ``extract``, into an empty store."""
    frames._hash.cache_clear()
    with tempfile.TemporaryDirectory() as root:
        clips = choose_clips(folder, protocol, side="real")
        extract([clips], [features], Store(Path(root)), batch_size=batch_size, progress=False)
        return load(clips, features, Store(Path(root)))["features"]


def loop(
    read: Callable[[Clip], Tensor], clips: ClipSet, features: Features, batch_size: int
) -> Tensor:
    """Features of clips that are read one after the other."""
    found = []
    with torch.no_grad():
        for start in range(0, len(clips), batch_size):
            batch = [read(clip) for clip in clips.clips[start : start + batch_size]]
            found.append(features(torch.stack(batch)))
    return torch.cat(found)


def read_whole_file(clip: Clip) -> Tensor:
    """All frames to one array, then those of the clip."""
    with av.open(str(clip.video.path)) as file:
        stream = file.streams.best("video")
        stream.thread_type = "AUTO"  # as torchvision sets it
        everything = np.stack([f.to_ndarray(format="rgb24") for f in file.decode(stream)])
    first = round(clip.start * clip.video.fps)
    return scaled(everything[first : first + clip.num_frames])


def read_range(clip: Clip) -> Tensor:
    """The frames of a time range, and as many of them as the clip has, evenly spaced."""
    begin, end = clip.start, clip.start + (clip.num_frames - 0.5) / clip.fps
    found = []
    with av.open(str(clip.video.path)) as file:
        stream = file.streams.best("video")
        origin = (stream.start_time or 0) * stream.time_base
        file.seek(int((begin + float(origin)) / stream.time_base), stream=stream, backward=True)
        for frame in file.decode(stream):
            seconds = float(frame.pts * stream.time_base - origin)
            if seconds > end:
                break
            if seconds >= begin - 1e-3:
                found.append(frame.to_ndarray(format="rgb24"))
    picked = np.linspace(0, len(found) - 1, clip.num_frames).astype(int)
    return scaled(np.stack(found)[picked])


def scaled(clip: np.ndarray) -> Tensor:
    """(f, h, w, 3), uint8, to (3, f, SIDE, SIDE) in [-1, 1]: short side scaled, centre cropped."""
    pixels = torch.from_numpy(clip).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    height, width = pixels.shape[2:]
    size = [round(side * SIDE / min(height, width)) for side in (height, width)]
    pixels = interpolate(pixels, size, mode="bilinear")
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    return pixels[:, :, top : top + SIDE, left : left + SIDE].transpose(0, 1)


def seconds_of(function: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--videos", type=Path, default=VIDEOS)
    parser.add_argument("--num_frames", type=int, default=16)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as written:
        folder = args.videos if args.videos.is_dir() else write_files(Path(written))
        for features in networks():
            features.to(args.device)
            compare(folder, features, args.num_frames, args.batch_size, args.rounds)


def compare(
    folder: Path, features: Features, num_frames: int, batch_size: int, rounds: int
) -> None:
    """Time the three ways with one network, and print ratios."""
    protocol = Protocol(num_frames=num_frames, size=(SIDE, SIDE), real_clip="middle")
    clips = choose_clips(folder, protocol, side="real")
    readers = {"torchvision": read_whole_file, "pytorchvideo": read_range}
    loops = {
        name: partial(loop, read, clips, features, batch_size) for name, read in readers.items()
    }
    seconds = in_turns(
        {"extract": partial(ours, folder, protocol, features, batch_size), **loops}, rounds
    )
    own = seconds["extract"]
    reading = seconds_of(lambda: [clip.read() for clip in clips.clips])
    print(
        f"{features.name}, {len(clips)} clips of {num_frames} frames on {features.device} "
        f"({torch.get_num_threads()} threads): extract takes {len(clips) / own:.2f} clips per "
        f"second; to read them one after the other would take {reading / own:.0%} of its time"
    )
    for name, read in readers.items():
        reading = seconds_of(lambda read=read: [read(clip) for clip in clips.clips])  # type: ignore[misc]
        print(
            f"  as with {name}: extract is {seconds[name] / own:.2f} times as fast; reading takes "
            f"{reading / seconds[name]:.0%} of that loop"
        )


if __name__ == "__main__":
    main()
