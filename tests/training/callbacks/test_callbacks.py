import io
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from run_tiny import make_data, make_task
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_tasks import Each, trainer
from torch import nn

from vidiff.training.callbacks import (
    RunProgressBar,
    RunRecord,
    RunScalars,
    SampleVideos,
    SaveCheckpoint,
    StepLog,
    Throughput,
    run_record,
)
from vidiff.training.trainer import VidiffTrainer


def run_with(folder, callbacks, **settings):
    logger = TensorBoardLogger(folder, name="", version="")
    settings = {"max_steps": 6, "log_every_n_steps": 2, "limit_val_batches": 0} | settings
    run = VidiffTrainer(
        accelerator="cpu", default_root_dir=folder, logger=logger, callbacks=callbacks,
        enable_model_summary=False, **settings,
    )  # fmt: skip
    run.fit(make_task(), make_data())
    return run


def test_every_run_gets_the_default_callbacks_once(tmp_path):
    kinds = [type(c) for c in VidiffTrainer(accelerator="cpu", logger=False).callbacks]
    assert {SaveCheckpoint, RunProgressBar, RunRecord, RunScalars, StepLog} <= set(kinds)
    assert sum(issubclass(kind, (ModelCheckpoint, TQDMProgressBar)) for kind in kinds) == 2
    bare = VidiffTrainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        callbacks=RunRecord(),
    )  # fmt: skip
    assert [type(c).__name__ for c in bare.callbacks].count("RunRecord") == 1
    assert not any(isinstance(c, (ModelCheckpoint, TQDMProgressBar)) for c in bare.callbacks)


def test_sample_videos_writes_files_and_plays_in_tensorboard(tmp_path):
    callback = SampleVideos(["a red square", "x"], every_n_steps=4, num_steps=2)
    run_with(tmp_path, [callback])
    names = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert names == ["step_00000004", "step_00000006"]  # at the end as well
    for name in names:
        lines = (tmp_path / "samples" / name / "samples.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in lines]
        assert [r["prompt"] for r in records] == ["a red square", "x"]
        assert all((tmp_path / "samples" / name / r["file"]).is_file() for r in records)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(events.Tags()["images"]) == ["samples/0: a red square", "samples/1: x"]
    images = events.Images("samples/0: a red square")
    assert [image.step for image in images] == [4, 6]
    with Image.open(io.BytesIO(images[0].encoded_image_string)) as gif:
        assert (gif.format, gif.n_frames) == ("GIF", 3)


def test_sampling_changes_nothing_in_training(tmp_path):
    tasks = []
    for name, callbacks in (
        ("plain", []),
        ("watched", [Throughput(), SampleVideos(["x"], every_n_steps=2, num_steps=2)]),
    ):
        run = trainer(tmp_path / name, callbacks=callbacks, limit_val_batches=1.0)
        run.fit(task := make_task(), make_data())
        tasks.append(task)
    for (name, a), b in zip(
        tasks[0].state_dict().items(), tasks[1].state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_sample_videos_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="at least one prompt"):
        SampleVideos([])
    with pytest.raises(ValueError, match="every_n_steps must be at least 1"):
        SampleVideos(["x"], every_n_steps=0)


def test_throughput_is_logged(tmp_path):
    callback = Throughput()
    run_with(tmp_path, [callback])
    events = EventAccumulator(str(tmp_path)).Reload()
    for rate in ("clips", "tokens", "gflop"):
        values = [e.value for e in events.Scalars(f"throughput/{rate}_per_second")]
        assert values
        assert min(values) > 0
    ratio = (
        events.Scalars("throughput/tokens_per_second")[-1].value
        / events.Scalars("throughput/clips_per_second")[-1].value
    )
    assert ratio == pytest.approx(3 * 4 * 4)  # frames x (16 / 4) x (16 / 4)


def test_flops_are_those_of_the_equations():
    """Multiply-adds of every linear map and of attention, times two, and times three passes."""
    task = make_task()
    task.factories = replace(task.factories, conditions={})
    task.configure_model()
    batch = next(iter(make_data(batch_size=4).val_dataloader()))
    multiply_adds = 0

    def note(module, inputs, output):
        nonlocal multiply_adds
        multiply_adds += output.numel() * module.in_features

    denoiser = task.ema["denoiser"]
    for module in denoiser.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(note)
    counted = task.count_flops(batch)
    b, n, width, depth = len(batch), 48, 32, 2
    multiply_adds += depth * 2 * b * n * n * width  # queries x keys, weights x values
    assert counted == 3 * 2 * multiply_adds


def test_run_record(tmp_path):
    run_with(tmp_path, [])
    record = json.loads((tmp_path / "run.json").read_text())
    task = make_task()
    task.configure_model()
    count = sum(p.numel() for part in task.trained_parts().values() for p in part.parameters())
    assert record["parameters"] == {"trained": count, "total": count}
    assert (record["status"], record["step"]) == ("finished", 6)
    assert record["training_seconds"] > 0
    assert record["versions"]["torch"] == torch.__version__
    assert len(record["config_sha256"]) == 64


def test_run_record_says_how_far_a_run_is_and_how_fast(tmp_path):
    seen = []

    def look(run, task):
        path = tmp_path / "run.json"
        seen.append(json.loads(path.read_text()))

    run_with(tmp_path, [RunRecord(every_seconds=0.0), Each(look)], max_steps=6, log_every_n_steps=2)
    assert [(r["status"], r["num_steps"]) for r in seen] == 6 * [("running", 6)]
    assert [r["step"] for r in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[0]["seconds_per_step"] is None
    record = json.loads((tmp_path / "run.json").read_text())
    assert 0 < record["seconds_per_step"] < record["training_seconds"]
    assert record["peak_memory_bytes"]["process"] > 50e6


def test_time_of_a_step_leaves_validation_out_and_survives_a_resume(tmp_path, monkeypatch):
    """By a clock that steps and validations move: 1 s a step, 100 s a validation."""
    clock = SimpleNamespace(now=50.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(run_record, "time", clock)

    class Move(Callback):
        def on_before_optimizer_step(self, *args):
            clock.now += 1.0

        def on_validation_epoch_end(self, *args):
            clock.now += 100.0

    record = RunRecord()
    run_with(
        tmp_path, [record, Move()], max_steps=6, log_every_n_steps=1, val_check_interval=2,
        limit_val_batches=1, num_sanity_val_steps=0,
    )  # fmt: skip
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["training_seconds"] == 6 * 1.0 + 3 * 100.0
    assert written["seconds_per_step"] == 1.0
    assert record.seconds_per_step == 6 * [1.0]
    again = RunRecord()
    again.load_state_dict(record.state_dict())
    assert again.seconds_per_step == record.seconds_per_step
    again.on_train_start(SimpleNamespace(is_global_zero=False), make_task())
    clock.now += 7.0
    assert again.state_dict()["seconds"] == 306.0 + 7.0


def test_run_record_of_a_failure(tmp_path):
    def fail(run, task):
        if run.global_step == 3:
            raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError):
        run_with(tmp_path, [Each(fail)])
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["status"], record["step"]) == ("failed: RuntimeError", 3)


def test_checkpoint_keeps_the_newest_and_the_end(tmp_path):
    run_with(tmp_path, [SaveCheckpoint(every_n_steps=4)], max_steps=9)
    folder = tmp_path / "checkpoints"
    assert sorted(p.name for p in folder.iterdir()) == ["last.ckpt", "step_00000009.ckpt"]
    assert (folder / "last.ckpt").resolve() == folder / "step_00000009.ckpt"
    run_with(tmp_path / "all", [SaveCheckpoint(every_n_steps=4, keep_all=True)], max_steps=9)
    names = [f"step_{step:08d}.ckpt" for step in (4, 8, 9)]
    assert sorted(p.name for p in (tmp_path / "all/checkpoints").glob("step*")) == names
