"""Originals beside reconstructions, as files, in TensorBoard, and with a table."""

import csv
import io

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from run_tiny import make_task as make_diffusion_task
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from validate_tiny import make_data, make_task, make_trainer

from vidiff.training.callbacks import Reconstructions
from vidiff.training.callbacks.reconstructions import add_row, beside
from vidiff.video import read_clip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of four steps with validations after two and four of them."""
    folder = tmp_path_factory.mktemp("run")
    trainer = make_trainer(
        folder, callbacks=[Reconstructions(num_videos=3)], num_sanity_val_steps=1,
        logger=TensorBoardLogger(folder, name="", version=""),
    )  # fmt: skip
    trainer.fit(make_task(), make_data())
    return folder


def test_every_validation_writes_a_folder(run):
    folder = run / "reconstructions"
    assert sorted(p.name for p in folder.iterdir()) == [
        "metrics.csv", "step_00000002", "step_00000004",
    ]  # fmt: skip
    gifs = sorted((folder / "step_00000002").iterdir())
    assert [p.name for p in gifs] == ["00000.gif", "00001.gif", "00002.gif"]
    shown = read_clip(gifs[1], num_frames=3)
    assert shown.shape == (3, 3, 128, 8 * (16 + 1 + 16))
    original = make_data().dataset("val")[1].pixels
    left = shown[..., ::8, ::8][..., :16]
    assert (left - original).abs().mean() < 0.05  # a palette of 256 colours


def test_tensorboard_plays_them(run):
    events = EventAccumulator(str(run)).Reload()
    tags = [f"reconstructions/0000{k}" for k in range(3)]
    assert sorted(events.Tags()["images"]) == tags
    images = events.Images(tags[0])
    assert [image.step for image in images] == [2, 4]
    assert Image.open(io.BytesIO(images[0].encoded_image_string)).n_frames == 3


def test_the_table_has_a_row_for_each_validation(run):
    with (run / "reconstructions" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert {"val/psnr", "val/ssim", "val/kl", "val/encode_frames_per_second"} <= set(rows[0])
    assert all(name == "step" or name.startswith("val/") for name in rows[0])
    assert all(float(value) >= 0 for value in (row["val/ssim"] for row in rows))
    logged = EventAccumulator(str(run)).Reload().Scalars("val/psnr")
    assert [float(row["val/psnr"]) for row in rows] == pytest.approx(
        [event.value for event in logged], rel=1e-4
    )


def test_validate_alone_writes_videos_and_never_over_others(tmp_path):
    trainer = make_trainer(tmp_path, callbacks=[Reconstructions(num_videos=9)])
    trainer.validate(make_task(), make_data(), verbose=False)
    trainer.test(make_task(), make_data(), verbose=False)
    folder = tmp_path / "reconstructions"
    assert sorted(p.name for p in folder.iterdir()) == ["test", "validate"]
    files = {p: p.read_bytes() for p in (folder / "validate").iterdir()}
    assert len(files) == 5  # all there are
    with pytest.warns(UserWarning, match="validate is there already and stays as it is"):
        trainer.validate(make_task("causal_kl"), make_data(), verbose=False)
    assert {p: p.read_bytes() for p in (folder / "validate").iterdir()} == files


def test_a_table_grows_by_rows_and_columns_and_has_each_step_once(tmp_path):
    path = tmp_path / "metrics.csv"
    add_row(path, {"step": "1", "a": "1"})
    add_row(path, {"step": "2", "a": "2", "b": "3"})
    add_row(path, {"step": "2", "a": "4", "b": "5"})  # a resumed run comes by again
    assert path.read_text() == "step,a,b\n1,1,\n2,4,5\n"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_beside_keeps_both_and_enlarges_what_is_small():
    left, right = torch.full((3, 2, 100, 90), -0.5), torch.full((3, 2, 100, 90), 0.5)
    both = beside(left, right)
    assert both.shape == (3, 2, 200, 2 * 181)
    assert both[..., :180].unique().tolist() == [-0.5]
    assert both[..., 182:].unique().tolist() == [0.5]
    assert beside(*torch.zeros(2, 3, 2, 200, 300)).shape == (3, 2, 200, 601)


def test_what_cannot_be_is_refused(tmp_path):
    for settings in ({"num_videos": 0}, {"fps": 0}):
        with pytest.raises(ValueError, match="must be positive, got 0"):
            Reconstructions(**settings)
    trainer = make_trainer(tmp_path, callbacks=[Reconstructions()])
    with pytest.raises(TypeError, match="needs an AutoencoderTask, not a DiffusionTask"):
        trainer.validate(make_diffusion_task(), make_data(), verbose=False)
