"""Whether videos go on from a given picture as their captions say.

Called as ``python experiments/image_to_video/go_on.py CHECKPOINT``. Takes the first frames of clips
that were never trained on (``val``: seen combinations, ``test``: unseen ones), samples from frame
and caption, and prints a line of JSON for each: the share of videos that show the caption, by the
oracle that judges prompts; PSNR in dB of the first frame against the picture, next to that of the
autoencoder alone; and of the whole video against the clip, which has one true continuation.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from torch import Tensor

import vidiff
from vidiff.data import MovingShapes
from vidiff.training import DiffusionTask
from vidiff.video import write_video
from vidiff_eval.metrics import PromptAccuracy

WORLD: dict[str, Any] = {"radius": (6.0, 7.0), "speed": (1.75, 1.75), "background": (0.0, 0.0)}


def psnr(videos: Tensor, others: Tensor) -> list[float]:
    """In dB, of each video in [-1, 1]."""
    error = (videos - others).square().flatten(1).mean(1).clamp(min=1e-10)
    return (10 * (4 / error).log10()).tolist()


def mean(values: list[float]) -> float:
    """Rounded to a hundredth."""
    return round(sum(values) / len(values), 2)


def measure(task: DiffusionTask, split: Any, count: int, keep: str) -> dict[str, Any]:
    """The figures of one split."""
    data = MovingShapes(split=split, num_val_videos=count, **WORLD)
    clips = data.__getitems__(list(range(count)))
    true = torch.stack([clip.pixels for clip in clips])
    prompts = [clip.caption for clip in clips]
    videos = task.sample(prompts, seed=1, batch_size=50, inputs={"image": true[:, :, 0]}).cpu()
    with torch.no_grad():
        known = task.autoencoder.encode(true[:, :, :1].to(task.device))
        pictures = task.autoencoder.decode(known).cpu()
    metric = PromptAccuracy(**WORLD)
    rows = metric.judge(metric.features.extract(videos), prompts)
    if keep:
        for index in range(3):
            pair = torch.cat([true[index], videos[index]], dim=-1)
            large = pair.repeat_interleave(8, -1).repeat_interleave(8, -2)
            write_video(f"{keep}_{split}_{index}.mp4", large, fps=8)
    return {
        "prompt_accuracy": mean([100.0 * row["prompt_accuracy"] for row in rows]),
        "motion_accuracy": mean([100.0 * row["motion_accuracy"] for row in rows]),
        "first_frame_psnr": mean(psnr(videos[:, :, :1], true[:, :, :1])),
        "autoencoder_psnr": mean(psnr(pictures.clamp(-1, 1), true[:, :, :1])),
        "continuation_psnr": mean(psnr(videos, true)),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--count", type=int, default=100, help="clips of each split")
    parser.add_argument("--keep", default="", metavar="PREFIX", help="write three pairs of videos")
    args = parser.parse_args()
    task = vidiff.load(args.checkpoint)
    assert isinstance(task, DiffusionTask)
    task = task.to("cuda" if torch.cuda.is_available() else "cpu")
    for split in ("val", "test"):
        print(json.dumps({split: measure(task, split, args.count, args.keep)}), flush=True)
