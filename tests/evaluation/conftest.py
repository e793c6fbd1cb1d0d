from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from einops import repeat
from torch import Tensor

from vidiff.data.shapes import (
    COLOURS,
    COMBINATIONS,
    MOTIONS,
    SHAPES,
    Combination,
    Scenes,
    render,
)
from vidiff.video import write_video

SIZE = (9, 32, 32)


def make_scenes(
    combinations: Sequence[Combination] = COMBINATIONS,
    *,
    radius: tuple[float, float] = (5.0, 8.0),
    speed: tuple[float, float] = (1.0, 2.0),
    background: tuple[float, float] = (0.0, 0.3),
    size: tuple[int, int, int] = SIZE,
    seed: int = 0,
) -> Scenes:
    """Random scenes, one of each combination, that stay in the frame."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: Tensor | float, high: Tensor | float) -> Tensor:
        return low + (high - low) * torch.rand(len(combinations), generator=generator)

    num_frames, height, width = size
    motion = torch.tensor([list(MOTIONS).index(c.motion) for c in combinations])
    direction = torch.tensor(list(MOTIONS.values()), dtype=torch.float32)[motion]
    r, s = draw(*radius), draw(*speed)
    path = direction * (s * (num_frames - 1))[:, None]
    start = [
        draw(r + (-path[:, axis]).clamp(min=0), extent - r - path[:, axis].clamp(min=0))
        for axis, extent in enumerate((width, height))
    ]
    return Scenes(
        colour=torch.tensor([list(COLOURS).index(c.colour) for c in combinations]),
        shape=torch.tensor([SHAPES.index(c.shape) for c in combinations]),
        motion=motion,
        radius=r,
        speed=s,
        x=start[0],
        y=start[1],
        background=draw(*background),
    )


def write_samples(
    folder: Path, videos: Tensor, prompts: Sequence[str], *, scale: int = 4, suffix: str = ".mp4"
) -> Path:
    """A samples folder as `vidiff sample` writes it."""
    folder.mkdir(parents=True)
    lines = []
    for index, (video, prompt) in enumerate(zip(videos, prompts, strict=True)):
        enlarged = repeat(video, "c f h w -> c f (h sh) (w sw)", sh=scale, sw=scale)
        write_video(folder / f"{index:04d}{suffix}", enlarged, fps=8)
        entry = {
            "prompt": prompt,
            "seed": 7,
            "index": index,
            "file": f"{index:04d}{suffix}",
            "settings": {"scale": scale},
        }
        lines.append(json.dumps(entry) + "\n")
    (folder / "samples.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def scenes() -> Callable[..., Scenes]:
    return make_scenes


@pytest.fixture
def samples() -> Callable[..., Path]:
    return write_samples


@pytest.fixture
def groups(tmp_path: Path) -> dict[str, Path]:
    """Two samples folders: all of ``seen`` is right, the second of ``unseen`` is wrong."""
    folders = {}
    for name, some in (("seen", COMBINATIONS[:4]), ("unseen", COMBINATIONS[60:63])):
        prompts = [combination.caption for combination in some]
        if name == "unseen":
            prompts[1] = "a red square moves left"
        folders[name] = write_samples(tmp_path / name, render(make_scenes(some), *SIZE), prompts)
    return folders
