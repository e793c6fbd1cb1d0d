"""Do the metrics put real videos in the order that one would expect?

    python experiments/evaluation/real_clips.py FOLDER --output runs/real_clips
    vidiff evaluate --real runs/real_clips/first --output runs/real_clips/report --generated \
        second=runs/real_clips/second noisy=runs/real_clips/noisy shapes=runs/real_clips/shapes

Cuts the video files of FOLDER into short clips: those of the first half of each file go into
``first``, those of the second half into ``second``, and copies of the latter with noise into
``noisy``. ``shapes`` has as many of MovingShapes, which are nothing like them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from vidiff.data import MovingShapes
from vidiff.data.video_folder import EXTENSIONS
from vidiff.video import VideoReader, write_video

NOISE = 0.1  # standard deviation, where pixels are in [-1, 1]: 13 grey levels


def main() -> None:
    """Write the four folders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--num_frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--per_half", type=int, default=6, help="clips of each half at most")
    args = parser.parse_args()
    args.output.mkdir(parents=True)

    generator = torch.Generator().manual_seed(0)
    count = 0
    for path in sorted(p for p in args.folder.iterdir() if p.suffix.lower() in EXTENSIONS):
        halves = [cut(path, half, args.num_frames, args.size, args.per_half) for half in (0, 1)]
        for number, (first, second) in enumerate(zip(*halves, strict=False)):
            name = f"{path.stem}_{number}.mp4"
            noise = torch.randn(second.shape, generator=generator) * NOISE
            write(args.output / "first" / name, first)
            write(args.output / "second" / name, second)
            write(args.output / "noisy" / name, second + noise)
            count += 1
    shapes = MovingShapes(
        split="train", num_videos=count, num_frames=args.num_frames, height=args.size,
        width=args.size, radius=(20.0, 30.0), speed=(2.0, 4.0),
    )  # fmt: skip
    for index in range(count):
        write(args.output / "shapes" / f"{index:03d}.mp4", shapes[index].pixels)
    print(f"{count} clips in each of first, second, noisy and shapes of {args.output}")


def cut(path: Path, half: int, num_frames: int, size: int, most: int) -> list[Tensor]:
    """Clips that lie one after the other in one half of a file."""
    with VideoReader(path) as video:
        total = int(video.duration * video.fps) // 2
        begin = half * total
        return [
            video.clip(
                num_frames=num_frames, start=(begin + k * num_frames) / video.fps, size=(size, size)
            )
            for k in range(min(most, total // num_frames))
        ]


def write(path: Path, pixels: Tensor) -> None:
    """A video file, in a folder that is made for it."""
    path.parent.mkdir(exist_ok=True)
    write_video(path, pixels, fps=16)


if __name__ == "__main__":
    main()
