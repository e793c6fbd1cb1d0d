"""Samples are evaluated while a model learns, and training does not notice."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from processes import run_together
from tiny import TINY

from vidiff.__main__ import main
from vidiff.data import MovingShapes
from vidiff.plugins import load_all
from vidiff.registry import list_kinds

HERE = Path(__file__).parents[1]
NUM_VIDEOS = 5
METRICS: list[Any] = [
    "toy_distance",
    {"class_path": "toy_brightness", "init_args": {"gain": 2.0}},
]
DATA: dict[str, Any] = {
    "num_frames": 2, "height": 16, "width": 16, "radius": [2.0, 3.0], "num_videos": 8,
    "num_val_videos": NUM_VIDEOS,
}  # fmt: skip
STRATEGIES = {
    "ddp": ["--trainer.strategy=ddp"],
    "sharded": [
        "--trainer.strategy=lightning.pytorch.strategies.ModelParallelStrategy",
        "--trainer.strategy.data_parallel_size=2", "--trainer.strategy.tensor_parallel_size=1",
    ],
}  # fmt: skip
CONFIG = {**copy.deepcopy(TINY), "plugins": [str(HERE / "toy_metrics.py")]}
CONFIG["trainer"] |= {
    "max_steps": 4, "val_check_interval": 2, "enable_progress_bar": False,
    "enable_model_summary": False,
}  # fmt: skip
CONFIG["model"]["init_args"]["ema_decay"] = 0.5
CONFIG["data"]["dataset"]["init_args"] = DATA


@pytest.fixture(scope="module", autouse=True)
def forget_toys() -> Iterator[None]:
    load_all()
    known = {kind.name: set(kind.components) for kind in list_kinds()}
    yield
    for kind in list_kinds():
        for name in set(kind.components) - known[kind.name]:
            del kind.components[name]


def write(folder: Path, *, callbacks: Any = (), task: Any = None, **settings: Any) -> Path:
    """A config whose run folder is beside it; with the callback if there are settings for it."""
    config = copy.deepcopy(CONFIG)
    config["model"] = task or config["model"]
    callbacks = list(callbacks)
    if settings:
        path = "vidiff_eval.training.EvaluateSamples"
        callbacks.append({"class_path": path, "init_args": {"batch_size": 2} | settings})
    config["trainer"] |= {"default_root_dir": str(folder / "run"), "callbacks": callbacks}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


def read(run: Path, name: str) -> dict[str, Any]:
    return json.loads((run / "evaluations" / f"{name}.json").read_text())  # type: ignore[no-any-return]


def values(report: dict[str, Any]) -> dict[str, float]:
    scores = report["groups"]["samples"]["scores"]
    return {score["name"]: score["value"] for some in scores.values() for score in some}


def weights(run: Path) -> dict[str, torch.Tensor]:
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return saved["state_dict"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps with two validations, and a checkpoint kept for the best score."""
    best = {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {
            "monitor": "val/toy_distance", "filename": "best", "dirpath": None, "save_top_k": 1,
        },
    }  # fmt: skip
    keep = {"class_path": "vidiff.training.callbacks.SaveCheckpoint"}
    config = write(
        tmp_path_factory.mktemp("fit"), metrics=METRICS, num_videos=NUM_VIDEOS,
        callbacks=[keep, best],
    )  # fmt: skip
    assert main(["fit", "-c", str(config)]) == 0
    return config


def test_the_scores_are_those_of_averaged_samples_of_the_captions(done: Path) -> None:
    """Made again by hand from the checkpoint."""
    from accumulated import Means

    from vidiff.training.loading import load
    from vidiff_eval.statistics.frechet import frechet

    run = done.parent / "run"
    task = load(run / "checkpoints" / "last.ckpt")
    clips = list(MovingShapes(split="val", **DATA))
    videos = task.sample([clip.caption for clip in clips], seed=0)
    real, generated = (
        Means().extract(v)["features"] for v in (torch.stack([c.pixels for c in clips]), videos)
    )
    report = read(run, "step_00000004")
    assert report["prompts"] == [clip.caption for clip in clips]
    expected = {
        "toy_distance": frechet(real, generated).value,
        "toy_brightness": 2 * generated.mean().item(),
    }
    assert values(report) == pytest.approx(expected, rel=1e-5)


def test_each_validation_is_logged_and_written_but_not_the_sanity_check(done: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = done.parent / "run"
    names = sorted(path.name for path in (run / "evaluations").iterdir())
    assert names == ["step_00000002.json", "step_00000004.json"]
    events = EventAccumulator(str(run))
    events.Reload()
    logged = [event.value for event in events.Scalars("val/toy_distance")]
    written = [values(read(run, name[:-5]))["toy_distance"] for name in names]
    assert logged == pytest.approx(written, rel=1e-6)
    assert written[0] != written[1]


def test_a_checkpoint_is_kept_for_the_best_score(done: Path) -> None:
    run = done.parent / "run"
    (path,) = run.rglob("best*.ckpt")
    best = torch.load(path, weights_only=True)
    scores = {step: values(read(run, f"step_{step:08d}"))["toy_distance"] for step in (2, 4)}
    assert best["global_step"] == min(scores, key=scores.__getitem__)


def test_the_report_has_intervals_and_settings(done: Path) -> None:
    report = read(done.parent / "run", "step_00000002")
    (score,) = report["groups"]["samples"]["scores"]["toy_distance"]
    assert score["interval"][0] == pytest.approx(score["value"] - 1)
    assert report["metrics"]["toy_brightness"]["settings"] == {"gain": 2.0}
    assert report["real"] == {"num_clips": NUM_VIDEOS}
    assert (report["step"], report["split"]) == (2, "val")


def test_training_goes_on_bit_for_bit_as_without_it(done: Path, tmp_path: Path) -> None:
    assert main(["fit", "-c", str(write(tmp_path))]) == 0
    without = weights(tmp_path / "run")
    assert without.keys() == weights(done.parent / "run").keys()
    for name, value in weights(done.parent / "run").items():
        assert torch.equal(value, without[name]), name


def test_the_test_command_evaluates_the_test_split(done: Path, capsys: Any) -> None:
    assert main(["test", "-c", str(done), "--ckpt_path", "last"]) == 0
    report = read(done.parent / "run", "test")
    assert report["split"] == "test"
    assert report["prompts"] == [c.caption for c in MovingShapes(split="test", **DATA)][:NUM_VIDEOS]
    out = capsys.readouterr().out
    value = values(report)["toy_distance"]
    assert f"toy_distance    {value:.4g} [{value - 1:.4g}, " in out
    assert "test/toy_brightness" in out


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("sharded", marks=pytest.mark.slow)])
def test_two_processes_give_the_scores_of_one(done: Path, tmp_path: Path, strategy: str) -> None:
    """Three batches of two, two and one, on two processes: one of these makes a batch twice."""
    words = ["validate", "-c", str(done), "--ckpt_path", str(next(done.parent.rglob("last.ckpt")))]
    found = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        parallel = STRATEGIES[strategy] if devices == 2 else []
        group = run_together(
            devices, "-m", "vidiff", *words, *parallel,
            f"--trainer.default_root_dir={folder}", f"--trainer.devices={devices}", cwd=tmp_path,
            env={"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])},
        )  # fmt: skip
        for done_ in group:
            assert done_.returncode == 0, done_.stderr[-3000:]
        found.append(read(folder, "validate"))
    assert values(found[1]) == pytest.approx(values(found[0]), rel=1e-6)
    intervals = [
        [score["interval"] for score in report["groups"]["samples"]["scores"]["toy_distance"]]
        for report in found
    ]
    assert intervals[1][0] == pytest.approx(intervals[0][0], rel=1e-6)


def make_trainer(folder: Path, **settings: Any) -> tuple[Any, Any]:
    """A trainer that evaluates at every validation, and its callback."""
    from toy_metrics import ToyBrightness, ToyDistance

    from vidiff.training.trainer import VidiffTrainer
    from vidiff_eval.training.evaluate_samples import EvaluateSamples

    metrics = settings.pop("metrics", None) or [ToyDistance(), ToyBrightness()]
    callback = EvaluateSamples(metrics, **{"num_videos": 3, "batch_size": 2} | settings)
    trainer = VidiffTrainer(
        accelerator="cpu", devices=1, max_steps=4, val_check_interval=1, default_root_dir=folder,
        logger=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
        callbacks=[callback], precision="32-true",
    )  # fmt: skip
    return trainer, callback


def make_parts(ema_decay: float = 0.5, **data: Any) -> tuple[Any, Any]:
    from vidiff.conditions import Words
    from vidiff.denoisers import DiT
    from vidiff.patchifiers import Tubelet
    from vidiff.samplers import Euler
    from vidiff.training import DiffusionTask
    from vidiff.training.data import VideoDataModule

    task = DiffusionTask(
        denoiser=partial(
            DiT, width=16, depth=1, num_heads=2, patchifier=partial(Tubelet, patch_size=(1, 8, 8))
        ),
        conditions={"text": partial(Words, text_dim=16, num_heads=2, num_rows=64)},
        sampler=partial(Euler, num_steps=2), ema_decay=ema_decay,
    )  # fmt: skip
    return task, VideoDataModule(dataset=partial(MovingShapes, **{**DATA, **data}), batch_size=2)


def test_every_second_validation_and_real_clips_once(tmp_path: Path) -> None:
    from toy_metrics import Careless

    trainer, callback = make_trainer(tmp_path, every_n_validations=2)
    Careless.seen = 0
    trainer.fit(*make_parts())
    names = sorted(path.name for path in (tmp_path / "evaluations").iterdir())
    assert names == ["step_00000002.json", "step_00000004.json"]
    assert Careless.seen == 3 + 2 * 3  # shared by both metrics
    assert callback.state_dict() == {"num_validations": 4}


def test_neither_random_numbers_nor_modes_change(tmp_path: Path) -> None:
    trainer, callback = make_trainer(tmp_path)
    task, data = make_parts(ema_decay=0)

    def state() -> tuple[Any, ...]:
        modes = [module.training for module in task.modules()]
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), modes, (
            random.getstate()
        )  # fmt: skip

    kept, evaluate = [], callback.evaluate

    def watched(*words: Any) -> Any:
        task.train()
        before = state()
        found = evaluate(*words)
        kept.append(before == state())
        task.eval()
        return found

    callback.evaluate = watched
    trainer.fit(task, data)
    assert kept == [True] * 4


def test_given_prompts_take_the_place_of_captions(tmp_path: Path) -> None:
    from toy_metrics import ToyBrightness

    prompts = ["a red square moves left", "a blue circle moves up"]
    trainer, _ = make_trainer(tmp_path, prompts=prompts, metrics=[ToyBrightness()])
    trainer.fit(*make_parts())
    report = read(tmp_path, "step_00000001")
    assert report["prompts"] == prompts
    assert report["real"] is None
    assert report["groups"]["samples"]["num_clips"] == 2


def test_clips_can_come_from_another_dataset(tmp_path: Path) -> None:
    """Of another size, which the samples then have."""
    other = partial(MovingShapes, **DATA | {"width": 24, "num_val_videos": 3})
    trainer, _ = make_trainer(tmp_path, dataset=other)
    trainer.fit(*make_parts())
    report = read(tmp_path, "step_00000001")
    assert report["sampling"]["size"] == [2, 16, 24]
    assert report["prompts"] == [clip.caption for clip in other(split="val")]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics": ["toy_gap"]}, "toy_gap compares pairs"),
        ({"metrics": ["toy_distance", "toy_distance"]}, "toy_distance is named twice"),
        ({"metrics": []}, "metrics are empty"),
        ({"metrics": METRICS, "num_videos": 6}, "set num_videos to 5 or less"),
        ({"metrics": METRICS, "num_videos": 1}, "toy_distance needs at least 2 clips"),
        ({"metrics": METRICS, "num_videos": 0}, "num_videos must be at least 1, got 0"),
        ({"metrics": METRICS, "num_videos": 5, "protocol": "latt"}, "did you mean 'latte'"),
        (
            {"metrics": [{"class_path": "toy_distance", "init_args": {"min_frames": 9}}]},
            "toy_distance needs clips of at least 9 frames, and these have 2",
        ),
        (
            {"metrics": ["toy_manners"], "prompts": ["a dog, please", "a dog"]},
            "toy_manners cannot judge prompt 2 of 2",
        ),
        ({"metrics": ["toy_manners"]}, "toy_manners cannot judge prompt 1 of 5"),
        (
            {"metrics": ["toy_manners"], "prompts": ["please", ""]},
            "judges samples by their prompts, and that of sample 1 is empty",
        ),
        ({"metrics": ["toy_distanc"]}, "unknown metric 'toy_distanc', did you mean"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(
    tmp_path: Path, capsys: Any, settings: dict[str, Any], words: str
) -> None:
    config = write(tmp_path, **{"num_videos": 5} | settings)
    assert main(["fit", "-c", str(config)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_task_that_makes_no_videos_is_refused(tmp_path: Path) -> None:
    from vidiff.training import AutoencoderTask

    trainer, _ = make_trainer(tmp_path)
    with pytest.raises(TypeError, match="AutoencoderTask does not"):
        trainer.fit(AutoencoderTask(), make_parts()[1])
