"""0 is a number: where one is not allowed it is refused, and never taken for "not given"."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

from vidiff.checks import at_least, positive
from vidiff.data import MovingShapes
from vidiff.plugins import load_all
from vidiff.registry import get_component
from vidiff.training.callbacks import SampleVideos
from vidiff.training.data import VideoDataModule
from vidiff.training.diffusion.task import DiffusionTask
from vidiff.training.sampling.folder import SampleFolder
from vidiff.training.trainer import VidiffTrainer


def test_numbers_are_checked_and_none_is_not_given() -> None:
    at_least(1, a=1, b=None)
    positive(a=0.5, b=None)
    with pytest.raises(ValueError, match="b must be at least 1, got 0"):
        at_least(1, a=2, b=0)
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"^a must be positive, got "):
            positive(a=wrong)


@pytest.mark.parametrize(
    "option",
    [
        "batch_size", "num_frames", "height", "width", "num_steps", "decode_tile", "decode_frames",
        "fps", "scale",
    ],
)  # fmt: skip
def test_sample_refuses_zero_before_any_work(tmp_path: Path, option: str) -> None:
    trainer = VidiffTrainer(accelerator="cpu", logger=False, default_root_dir=str(tmp_path))
    asked: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match=f"{option} must be .*, got 0"):
        trainer.sample(DiffusionTask(), prompts="a red square", ckpt_path="none.ckpt", **asked)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("option", ["num_frames", "height", "width", "num_steps", "batch_size"])
def test_a_task_refuses_zero(option: str) -> None:
    task = DiffusionTask()
    task.clip_size = (2, 16, 16)
    asked: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match=f"{option} must be at least 1, got 0"):
        task.sample(["a red square"], **asked)


def test_other_numbers_that_may_be_left_out_refuse_zero(tmp_path: Path) -> None:
    from vidiff_eval.extraction.decode_ahead import in_batches
    from vidiff_eval.metrics import Motion
    from vidiff_eval.statistics.consistency import by_distance
    from vidiff_eval.training.evaluate_samples import EvaluateSamples

    with pytest.raises(ValueError, match="val_batch_size must be at least 1, got 0"):
        VideoDataModule(val_batch_size=0)
    with pytest.raises(ValueError, match="scale must be at least 1, got 0"):
        SampleFolder(tmp_path, ["a"], seed=0, fps=8, size=(16, 16), settings={}, scale=0)
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        SampleVideos(["a"], num_steps=0)
    with pytest.raises(ValueError, match="num_steps must be at least 1, got 0"):
        EvaluateSamples([Motion()], num_steps=0)
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        in_batches([], lambda batch: None, batch_size=1, workers=0)
    with pytest.raises(ValueError, match="furthest must be at least 1, got 0"):
        by_distance(torch.ones(1, 3, 2), furthest=0)
    for name in ("num_frames", "height", "width"):
        size: dict[str, Any] = {name: 0}
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            MovingShapes(split="train", **size)


def constructor_parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Its own, and those that it hands on to its base classes by ``**``."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            own = dict(inspect.signature(base).parameters)
            hands_on = [key for key, p in own.items() if p.kind is p.VAR_KEYWORD]
            found = {**own, **found}
            if not hands_on:
                break
            found.pop(hands_on[0])
    return found


@pytest.mark.parametrize("kind", ["attention", "denoiser", "condition", "positions"])
def test_no_component_divides_by_zero(kind: str) -> None:
    load_all()
    from vidiff.registry import get_kind

    for name in get_kind(kind).components:
        cls = get_component(kind, name).cls
        parameters = constructor_parameters(cls)
        needed = {key: 4 for key, p in parameters.items() if p.default is p.empty}
        for option in {"num_heads", "width", "depth", "text_dim"} & {*parameters}:
            try:
                cls(**{**needed, option: 0})
            except ValueError as error:
                assert "0" in str(error), (name, option)  # noqa: PT017
