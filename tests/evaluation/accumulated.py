"""Cheap metrics, and processes that accumulate them: for tests of accumulators.

Run as ``python accumulated.py CASE RANK WORLD_SIZE FOLDER``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vidiff.evaluation_report import Score
from vidiff_eval.features.base import Features
from vidiff_eval.metrics.base import ClipMetric, PairMetric, SetMetric
from vidiff_eval.metrics.frechet import FrechetDistance

KINDS = ("clips", "pairs", "sets", "stream")


class Means(Features):
    """Means of the channels in either half of the frames, (b, 6) or of each frame, (b, f, 3)."""

    name = "means"
    min_frames = 2
    calls = 0

    def __init__(self, per_frame: bool = False) -> None:
        self.per_frame = per_frame

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": "means", "per_frame": self.per_frame}

    def extract(self, clips: Tensor) -> dict[str, Tensor]:
        Means.calls += 1
        frames = clips.double().mean((3, 4))
        if self.per_frame:
            return {"features": frames.transpose(1, 2)}
        half = frames.shape[2] // 2
        return {"features": torch.cat([frames[..., :half].mean(2), frames[..., half:].mean(2)], 1)}


class Brightness(ClipMetric):
    """How bright a clip is."""

    higher_is_better = None

    def __init__(
        self, gain: float = 1.0, score: str = "brightness", needs_prompts: bool = False
    ) -> None:
        self.gain, self.scores, self.features = gain, (score,), Means()
        self.needs_prompts = needs_prompts  # type: ignore[misc]

    @property
    def settings(self) -> dict[str, Any]:
        return {"gain": self.gain}

    def judge(self, found: Any, prompts: Sequence[str]) -> list[Any]:
        return [{self.scores[0]: self.gain * x.mean().item()} for x in found["features"]]

    def tally(self, rows: Any) -> dict[str, float]:
        values = [row[self.scores[0]] for row in rows]
        return {"n": float(len(rows)), "sum": sum(values), "squares": sum(x * x for x in values)}

    def summarise(self, sums: Any) -> list[Score]:
        return summarise(self.scores[0], sums)


class Gap(PairMetric):
    """How much brighter a clip is than its partner."""

    scores = ("gap",)
    higher_is_better = None
    settings: ClassVar[dict[str, Any]] = {}
    tally = Brightness.tally  # type: ignore[assignment]

    def judge(self, generated: Tensor, real: Tensor) -> list[Any]:
        return [{"gap": x.item()} for x in (generated - real).double().flatten(1).mean(1)]

    def summarise(self, sums: Any) -> list[Score]:
        return summarise("gap", sums)


class Distance(FrechetDistance):
    """A Fréchet distance with an interval that depends on the order of the features."""

    def __init__(
        self, per_frame: bool = False, score: str = "fd_means", paired: bool = False
    ) -> None:
        super().__init__(Means(per_frame), score)
        self.paired = paired  # type: ignore[misc]

    def compare(self, real: Tensor, generated: Tensor) -> list[Score]:
        value = self.distance(real, generated)[self.scores[0]]
        first = real.flatten(1)[0].sum().item()  # stands for a resampling by place
        return [Score(self.scores[0], value, (value - 1, value + first), "the first clip's")]


class Subset(SetMetric):
    """Something that sums of features do not give."""

    scores = ("subset",)
    higher_is_better = None
    settings: ClassVar[dict[str, Any]] = {}
    features = Means()

    def distance(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        raise NotImplementedError

    def compare(self, real: Tensor, generated: Tensor) -> list[Score]:
        raise NotImplementedError


def summarise(name: str, sums: Any) -> list[Score]:
    if not sums["n"]:
        raise ValueError("there is no clip")
    mean = sums["sum"] / sums["n"]
    spread = round(sums["squares"] / sums["n"] - mean**2, 9)
    return [Score(name, mean, (round(mean, 6), spread), "mean and variance")]


def make(kind: str, *, reset_real: bool = True, **settings: Any) -> Any:
    """The accumulator of a toy metric."""
    if kind == "clips":
        return Brightness(**settings).accumulator()
    if kind == "pairs":
        return Gap().accumulator()
    return Distance(**settings).accumulator(stream=kind == "stream", reset_real=reset_real)


def kind_of(metric: Any) -> str:
    return str(metric.metric.kind)


def changed(videos: Tensor) -> Tensor:
    """The generated clips: brighter than the real ones, each by something else."""
    return 1.3 * videos + 0.1


def update(metric: Any, videos: Tensor, ids: Any = None) -> None:
    """Give clips to an accumulator of any kind."""
    kind = kind_of(metric)
    if kind == "clips":
        metric.update(videos, ids=ids)
    elif kind == "pairs":
        metric.update(changed(videos), reference=videos, ids=ids)
    else:
        metric.update(videos, real=True, ids=ids)
        metric.update(changed(videos), real=False, ids=ids)


def make_videos(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    level = torch.randn(count, 3, 1, 1, 1, generator=generator)
    noise = torch.randn(count, 3, 4, 2, 2, generator=generator)
    return (0.2 * level + 0.1 * noise).clamp(-0.6, 0.6)  # in [-1, 1], when changed as well


def make_ids(count: int) -> list[str]:
    return [f"clips/{i}.mp4" for i in range(count)]


def spawn(case: str, world_size: int, folder: Path) -> None:
    """Run a case on several processes; each saves what it finds as ``<rank>.pt``."""
    from processes import run_together

    for done in run_together(world_size, __file__, case, folder):
        assert done.returncode == 0, done.stderr[-3000:]


def of_a_sampler(rank: int, world_size: int) -> dict[Any, Any]:
    from torch.utils.data import DataLoader, DistributedSampler

    found: dict[Any, Any] = {}
    videos, ids = make_videos(7), make_ids(7)
    for kind in KINDS:
        for count in range(1, 8):
            data: Any = list(range(count))
            for size in (1, 3):
                metric = make(kind)
                sampler = DistributedSampler(
                    data, world_size, rank, shuffle=count % 2 == 0, drop_last=False
                )
                for batch in DataLoader(data, size, sampler=sampler, collate_fn=list):
                    update(metric, videos[batch], [ids[i] for i in batch])
                try:
                    found[kind, count, size] = {
                        "scores": metric.compute(),
                        "intervals": [score.interval for score in metric.scores()],
                    }
                except ValueError as error:
                    found[kind, count, size] = str(error)
    return found


def uneven(rank: int, world_size: int) -> dict[Any, Any]:
    """All clips on one process; then some on both, and more after the first scores."""
    found, videos = {}, make_videos(7)
    for kind in KINDS:
        metric = make(kind)
        if rank == 1:
            update(metric, videos[:4])
            update(metric, videos[4:])
        first = metric.compute()
        metric.reset()
        update(metric, videos[:2] if rank == 0 else videos[2:5])
        metric.compute()
        if rank == 1:
            update(metric, videos[5:])
        found[kind] = {"first": first, "again": metric.compute()}
    return found


def overlap(rank: int, world_size: int) -> dict[Any, Any]:
    """Three clips go to both processes, and none of them last."""
    found: dict[Any, Any] = {}
    videos, ids = make_videos(7), make_ids(7)
    for kind in KINDS:
        metric = make(kind)
        for share in ([0, 1, 2], [3, 4] if rank == 0 else [5, 6]):
            update(metric, videos[share], [ids[i] for i in share])
        try:
            found[kind] = metric.compute()
        except ValueError as error:
            found[kind] = str(error)
    return found


CASES = {"sampler": of_a_sampler, "uneven": uneven, "overlap": overlap}

if __name__ == "__main__":
    case, folder = sys.argv[1:]
    rank, world_size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
    torch.save(CASES[case](rank, world_size), Path(folder, f"{rank}.pt"))
    torch.distributed.destroy_process_group()
