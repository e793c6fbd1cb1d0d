"""Videos, config and files of whichever logger is asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import write_config

from vidiff.__main__ import main
from vidiff.cli.run_folder import with_loggers_in
from vidiff.pages.runs import read_curves
from vidiff.training.loggers import log_config, viewers

SAMPLES = {
    "class_path": "SampleVideos",
    "init_args": {"prompts": ["a red square", "x"], "num_steps": 1},
}


class Notes(Logger):
    """Any logger, which writes down what it is given."""

    name, version = "notes", "0"

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any) -> None:
        self.given.append(params)


class VideoNotes(Notes):
    def log_video(self, key: str, videos: list[str], step: int, caption: list[str]) -> None:
        self.given.append((key, Path(videos[0]).read_bytes()[:3], step, caption))


def test_videos_go_to_every_logger_that_shows_them(tmp_path: Path) -> None:
    gif = tmp_path / "a.gif"
    gif.write_bytes(b"GIF and so on")
    board = TensorBoardLogger(tmp_path, name="", version="")
    loggers = [Notes(), VideoNotes(), board, CSVLogger(tmp_path)]
    shows = viewers(SimpleNamespace(loggers=loggers))
    for show in shows:
        show("samples/0", gif, 7, "a red square")
    assert loggers[0].given == []
    assert loggers[1].given == [("samples/0", b"GIF", 7, ["a red square"])]
    board.experiment.flush()
    (image,) = EventAccumulator(str(tmp_path)).Reload().Images("samples/0: a red square")
    assert (image.step, image.encoded_image_string) == (7, gif.read_bytes())
    assert len(shows) == 2


def test_the_config_goes_to_every_logger(tmp_path: Path) -> None:
    board, table = TensorBoardLogger(tmp_path, name="", version=""), CSVLogger(tmp_path / "csv")
    loggers = [notes := Notes(), board, table]
    log_config(SimpleNamespace(loggers=loggers, global_step=1), "data:\n  seed: 3\n")
    assert notes.given == [{"data": {"seed": 3}}]
    board.experiment.flush()
    assert EventAccumulator(str(tmp_path)).Reload().Tags()["tensors"] == ["config/text_summary"]
    table.save()
    saved = yaml.safe_load(Path(table.log_dir, "hparams.yaml").read_text())
    assert saved == {"data": {"seed": 3}}


def logger_of(class_path: str, **init_args: Any) -> Namespace:
    return Namespace(class_path=class_path, init_args=Namespace(**init_args))


def test_loggers_write_into_the_run_folder_unless_told_otherwise(tmp_path: Path) -> None:
    place = "lightning.pytorch.loggers"
    folder = tmp_path / "run"
    asked = Namespace(
        logger=[
            logger_of(f"{place}.WandbLogger", save_dir="."),
            logger_of(f"{place}.WandbLogger", save_dir="elsewhere"),
            logger_of(f"{place}.MLFlowLogger", save_dir="./mlruns"),
            logger_of(f"{place}.CSVLogger", save_dir="tables"),
            logger_of(f"{place}.LitLogger", root_dir="."),
        ]
    )
    given = with_loggers_in(folder, asked).logger
    assert [Path(g.init_args.save_dir) for g in given[:4]] == [
        folder, Path("elsewhere"), folder / "mlruns", Path("tables"),
    ]  # fmt: skip
    assert asked.logger[0].init_args.save_dir == ".", "what is saved is what was asked"
    assert with_loggers_in(folder, Namespace(logger=None)).logger is None
    alone = with_loggers_in(folder, Namespace(logger=asked.logger[0]))
    assert alone.logger.init_args.save_dir == str(folder)


def test_a_csv_logger_through_the_command(tmp_path: Path) -> None:
    changes = {"trainer.callbacks": [SAMPLES], "trainer.logger": {"class_path": "CSVLogger"}}
    changes["trainer.logger"]["init_args"] = {"save_dir": str(tmp_path / "tables")}
    assert main(["fit", "-c", str(write_config(tmp_path / "c.yaml", changes))]) == 0
    assert list((tmp_path / "tables").rglob("metrics.csv"))
    assert read_curves(tmp_path / "run")["train/loss"]
    (hparams,) = (tmp_path / "tables").rglob("hparams.yaml")
    assert yaml.safe_load(hparams.read_text())["data"]["batch_size"] == 2


def test_weights_and_biases_gets_videos_config_and_scalars_and_stays_in_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb", reason="pip install wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    changes = {"trainer.callbacks": [SAMPLES], "trainer.logger": {"class_path": "WandbLogger"}}
    config = write_config(tmp_path / "c.yaml", changes)
    try:
        assert main(["fit", "-c", str(config)]) == 0
        told = dict(wandb.run.config)
        summary = dict(wandb.run.summary)
    finally:
        wandb.finish()
    run = tmp_path / "run"
    assert told["data"]["batch_size"] == 2
    assert told["trainer"]["default_root_dir"] == str(run)
    assert summary["train/loss"] == read_curves(run)["train/loss"][-1][1]
    assert summary["optimizer/gradient_norm"] > 0
    assert len(list((run / "wandb").glob("offline-run-*/files/media/videos/samples/*.gif"))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml", "run"]
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["trainer"]["logger"]["init_args"]["save_dir"] == "."
