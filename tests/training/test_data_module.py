"""The order of the data: with workers, over processes, and through a resume."""

from __future__ import annotations

import itertools
import json
import logging
import tracemalloc
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, OnExceptionCheckpoint
from lightning.pytorch.trainer.states import RunningStage
from torch.utils.data import DataLoader

from vidiff.data import MovingShapes, VideoDataset, VideoFolder
from vidiff.data.order import ClipStream, EvalBatches
from vidiff.training.data import VideoDataModule
from vidiff.types import VideoSample


class Numbers(VideoDataset):
    """Clip k shows the number k; not registered, as tests of every component need not see it."""

    draws_anew = False

    def __init__(self, *, split: str, length: int = 22, val_length: int = 7) -> None:
        self.split, self.length = split, length if split == "train" else val_length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> VideoSample:
        assert 0 <= index < self.length or self.draws_anew
        return VideoSample(torch.full((3, 1, 2, 2), float(index)), f"number {index}", str(index))


class FreshNumbers(Numbers):
    draws_anew = True


class Broken(Numbers):
    """Says that files were left out; without end it counts how often it was asked."""

    num_files = 22

    def __getitem__(self, index: int) -> VideoSample:
        if self.split == "test":
            raise ValueError("none of the files can give a clip")
        return super().__getitem__(index)

    def problems(self) -> dict[str, str]:
        return {"bad.mp4": "the file is empty", "worse.mp4": "not a readable video"}


class Recorder(LightningModule):
    """Learns nothing, writes down the ids of what it is given."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.stop_at = stop_at
        self.trained: list[list[str]] = []
        self.validated: list[list[str]] = []

    def training_step(self, batch, batch_idx):
        if self.stop_at is not None and self.global_step == self.stop_at:
            raise RuntimeError("stopped in the middle of a step")
        self.trained.append(batch.ids)
        return self.weight * batch.pixels.mean()

    def validation_step(self, batch, batch_idx):
        self.validated.append(batch.ids)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def module(dataset: type[VideoDataset] = Numbers, **settings) -> VideoDataModule:
    data = {k: settings.pop(k) for k in list(settings) if k in ("length", "val_length")}
    return VideoDataModule(dataset=partial(dataset, **data), **{"batch_size": 4, **settings})


def fit(
    data: VideoDataModule,
    model: Recorder | None = None,
    *,
    ckpt_path: str | None = None,
    callbacks: Sequence[Callback] = (),
    **settings,
) -> Recorder:
    model = model or Recorder()
    Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **{
            "devices": 1,
            "max_steps": 14,
            "num_sanity_val_steps": 0,
            "enable_checkpointing": bool(callbacks),
            **settings,
        },
    ).fit(model, data, ckpt_path=ckpt_path, weights_only=True)
    return model


def take(data: VideoDataModule, count: int) -> list[list[str]]:
    loader = data.train_dataloader()
    ids = [next(loader).ids for _ in range(count)]
    if loader.num_workers:
        loader._iterator._shutdown_workers()
    return ids


def test_every_clip_once_an_epoch_in_another_order_each_time():
    stream = [int(i) for batch in take(module(), 33) for i in batch]  # 132 clips: 6 epochs
    epochs = [stream[k : k + 22] for k in range(0, 132, 22)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(22))
    assert len({tuple(epoch) for epoch in epochs}) == 6
    assert take(module(), 33) == take(module(), 33)
    assert take(module(seed=1), 33) != take(module(), 33)


def test_datasets_that_draw_anew_are_told_the_epoch():
    plain = [int(i) for batch in take(module(), 11) for i in batch]
    fresh = [int(i) for batch in take(module(FreshNumbers), 11) for i in batch]
    assert fresh == [i + place // 22 * 22 for place, i in enumerate(plain)]


@pytest.mark.parametrize("batch_size", [4, 5, 50])
def test_workers_do_not_change_the_order(batch_size):
    alone = take(module(batch_size=batch_size), 15)
    assert take(module(batch_size=batch_size, num_workers=2), 15) == alone
    assert {len(batch) for batch in alone} == {batch_size}


def test_processes_share_the_stream_out():
    whole = ClipStream(22, 8, seed=3)
    parts = [ClipStream(22, 4, rank, 2, seed=3) for rank in (0, 1)]
    for together, first, second in itertools.islice(zip(whole, *parts, strict=False), 20):
        assert first + second == together
        assert not set(first) & set(second) or len(set(together)) < 8
    assert len(parts[0]) == len(parts[1]) == len(whole) == 2


class WriteIds(Callback):
    """Each process writes down what it was given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer, pl_module):
        ids = {"train": pl_module.trained, "val": pl_module.validated}
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(ids))


def test_lightning_leaves_the_loaders_alone():
    trainer = Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False)
    data = module()
    data.trainer = trainer
    prepare = trainer._data_connector._prepare_dataloader
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert prepare(loader, shuffle=True, mode=RunningStage.TRAINING) is loader
        assert (loader.batches.rank, loader.batches.world_size) == (0, 2)
    ordinary = DataLoader(Numbers(split="train"))  # what it does with others
    assert prepare(ordinary, shuffle=True, mode=RunningStage.TRAINING) is not ordinary


@pytest.mark.slow
def test_two_processes_get_their_own_parts_though_the_trainer_is_not_told(tmp_path):
    callbacks = [WriteIds(tmp_path)]
    settings = {"devices": 2, "strategy": "ddp_spawn", "enable_checkpointing": False}
    fit(module(batch_size=3, num_workers=1), callbacks=callbacks, max_steps=6, **settings)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    stream = iter(ClipStream(22, 6))
    for one, two in zip(first["train"], second["train"], strict=True):
        assert [int(i) for i in one + two] == next(stream)
    assert len(first["train"]) == 6
    validated = [int(i) for batch in first["val"][:2] + second["val"][:2] for i in batch]
    assert sorted(validated) == list(range(7))


def test_a_resume_on_more_processes_goes_on_with_the_next_clip():
    wide, narrow = ClipStream(22, 2, 1, 4), ClipStream(22, 4)
    wide.position = 12
    before = list(itertools.islice(narrow, 5))
    assert next(iter(wide)) == before[3][2:]


def test_hundred_million_clips_cost_no_memory():
    data = module(length=10**8, batch_size=64)
    data.dataset("train")
    tracemalloc.start()
    loader = data.train_dataloader()
    loader.batches.position = 10**11 + 3
    ids = [int(i) for _ in range(3) for i in next(loader).ids]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(set(ids)) == 3 * 64
    assert max(ids) > 10**7
    assert len(loader) == 10**8 // 64
    assert peak < 2e6


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("stop", [3, 5, 6, 10])  # an epoch has 5 steps
def test_a_resumed_run_goes_on_with_the_next_clip(tmp_path, stop, num_workers):
    whole = fit(module(num_workers=num_workers))
    assert len(whole.trained) == 14
    every = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    stopped = fit(module(num_workers=num_workers), callbacks=[every], max_steps=stop)
    resumed = fit(module(num_workers=num_workers), ckpt_path=str(tmp_path / f"step={stop}.ckpt"))
    assert stopped.trained == whole.trained[:stop]
    assert resumed.trained == whole.trained[stop:]


def test_a_checkpoint_from_the_middle_of_a_step_repeats_that_step(tmp_path):
    whole = fit(module())
    on_exception = OnExceptionCheckpoint(tmp_path, filename="broken")
    with pytest.raises(RuntimeError, match="middle of a step"):
        fit(module(num_workers=2), Recorder(stop_at=7), callbacks=[on_exception])
    resumed = fit(module(), ckpt_path=str(tmp_path / "broken.ckpt"))
    assert resumed.trained == whole.trained[7:]


def test_resume_at_an_epochs_end_and_with_shortened_epochs(tmp_path):
    limits = {"limit_train_batches": 3, "max_steps": -1, "max_epochs": 5}
    whole = fit(module(), **limits)
    assert [int(i) for batch in whole.trained[:5] for i in batch] == [
        int(i) for batch in take(module(), 5) for i in batch
    ]
    at_end = ModelCheckpoint(tmp_path, save_on_train_epoch_end=True, filename="end")
    fit(module(), callbacks=[at_end], **{**limits, "max_epochs": 2})
    resumed = fit(module(), ckpt_path=str(tmp_path / "end.ckpt"), **limits)
    assert resumed.trained == whole.trained[6:]


def test_overfitting_repeats_the_same_batches():
    trained = fit(module(FreshNumbers), overfit_batches=2, max_steps=8).trained
    first = sorted(int(i) for batch in trained[:2] for i in batch)
    assert first == list(range(8))
    for k in (2, 4, 6):
        assert sorted(int(i) for batch in trained[k : k + 2] for i in batch) == first


def test_validation_goes_through_the_split_once():
    for workers in (0, 2):
        validated = fit(module(num_workers=workers), max_steps=-1, max_epochs=2).validated
        assert [int(i) for batch in validated for i in batch] == [*range(7), *range(7)]


@pytest.mark.parametrize("num_clips", [1, 2, 7, 8, 9, 64, 100])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_validation_is_dealt_evenly(num_clips, world_size):
    parts = [list(EvalBatches(num_clips, 4, rank, world_size)) for rank in range(world_size)]
    assert {len(part) for part in parts} == {len(EvalBatches(num_clips, 4, 0, world_size))}
    sizes = [len(batch) for part in parts for batch in part]
    assert 1 <= min(sizes) <= max(sizes) <= min(4, min(sizes) + 1)
    clips = sorted(clip for part in parts for batch in part for clip in batch)
    if num_clips >= world_size:
        assert clips == list(range(num_clips))
    else:
        assert set(clips) == set(range(num_clips))


def test_the_test_split_has_its_own_loader():
    batches = list(module(Numbers, val_batch_size=7).test_dataloader())
    assert [batch.ids for batch in batches] == [[str(k) for k in range(7)]]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_files_left_out_are_reported_once_and_counted(caplog, num_workers):
    caplog.set_level(logging.INFO)
    fit(module(Broken, num_workers=num_workers), max_steps=-1, max_epochs=4)
    said = [r.getMessage() for r in caplog.records if r.name == "vidiff.loaders"]
    assert said.count("train: bad.mp4 left out: the file is empty") == 1
    assert sum("bad.mp4 left out" in line for line in said) == 1
    assert said.count("train: 2 of 22 files skipped: bad.mp4, worse.mp4") == 1


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_dataset_with_nothing_left_is_one_plain_error(num_workers):
    loader = module(Broken, num_workers=num_workers).test_dataloader()
    with pytest.raises(ValueError, match="none of the files can give a clip") as caught:
        list(loader)
    assert str(caught.value) == "none of the files can give a clip"
    assert "in __getitem__" in caught.value.__notes__[0]  # where, for those who ask


def test_real_files_with_workers(tmp_path, make_video):
    for name in ("a.mp4", "b.mkv", "c.mp4"):
        make_video(tmp_path / name, [k / 10 for k in range(20)])
    (tmp_path / "bad.mp4").touch()
    dataset = partial(VideoFolder, root=str(tmp_path), num_frames=3, height=8, width=8)
    batches = {}
    for num_workers in (0, 2):
        data = VideoDataModule(dataset=dataset, batch_size=3, num_workers=num_workers)
        loader = data.train_dataloader()
        batches[num_workers] = [next(loader) for _ in range(6)]
        assert loader.problems.keys() == {"bad.mp4"}
        if num_workers:
            loader._iterator._shutdown_workers()
    for alone, together in zip(batches[0], batches[2], strict=True):
        assert alone.ids == together.ids
        assert torch.equal(alone.pixels, together.pixels)
    assert len({i for batch in batches[0] for i in batch.ids}) == 18  # each epoch draws anew


def test_moving_shapes_by_default():
    data = VideoDataModule(batch_size=3)
    assert isinstance(data.dataset("train"), MovingShapes)
    batch = next(data.train_dataloader())
    assert batch.pixels.shape == (3, 3, 9, 32, 32)
    assert len(batch.captions) == 3


def test_global_random_numbers_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    take(module(), 2)
    list(module().val_dataloader())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "settings", [{"batch_size": 0}, {"val_batch_size": -1}, {"num_workers": -1}, {"seed": -1}]
)
def test_wrong_settings(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        VideoDataModule(**settings)
    with pytest.raises(ValueError, match="Numbers has no clip for val"):
        module(val_length=0).val_dataloader()


def test_each_step_has_one_size_the_same_in_all_processes():
    whole = ClipStream(22, 8, seed=3, num_sizes=3)
    parts = [ClipStream(22, 4, rank, 2, seed=3, num_sizes=3) for rank in (0, 1)]
    plain = ClipStream(22, 8, seed=3)
    sizes = []
    for batch, left, right, clips in itertools.islice(zip(whole, *parts, plain, strict=False), 12):
        assert left + right == batch
        assert [index // 3 for index in batch] == clips, "sizes change no clip"
        assert len({index % 3 for index in batch}) == 1
        sizes.append(batch[0] % 3)
    assert all(sorted(sizes[i : i + 3]) == [0, 1, 2] for i in range(0, 12, 3))
    assert sizes[:6] != sizes[6:], "in an order that changes"
    later = ClipStream(22, 8, seed=3, num_sizes=3)
    later.position = 5 * 8
    assert next(iter(later)) == list(itertools.islice(whole, 6))[5], "resumed, it goes on as it was"


def test_validation_has_sizes_in_turn_and_every_clip_once():
    batches = [b for rank in (0, 1) for b in EvalBatches(22, 4, rank, 2, num_sizes=3)]
    assert sorted(index // 3 for batch in batches for index in batch) == list(range(22))
    assert all(len({index % 3 for index in batch}) == 1 for batch in batches)
    assert {batch[0] % 3 for batch in batches} == {0, 1, 2}
