"""When loggers log, and what they show next to scalars: videos, and the config of the run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from vidiff.yaml_files import load_yaml

ShowGif = Callable[[str, Path, int, str], None]
"""Shows a gif, given a tag, the file, a step and a caption; the file may go afterwards."""


def is_due(trainer: Trainer, step: int) -> bool:
    """Whether the loggers log after this number of steps; never where the interval is 0."""
    interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return step > 0 and interval > 0 and step % interval == 0


def viewers(trainer: Trainer) -> list[ShowGif]:
    """Of the loggers, those that show videos: TensorBoard, and any with ``log_video`` (W&B)."""
    return [show for logger in trainer.loggers if (show := _viewer(logger)) is not None]


def _viewer(logger: Logger) -> ShowGif | None:
    if isinstance(logger, TensorBoardLogger):
        return partial(_show_in_tensorboard, logger)
    log_video = getattr(logger, "log_video", None)
    if not callable(log_video):
        return None
    return lambda tag, gif, step, caption: log_video(tag, [str(gif)], step=step, caption=[caption])


def _show_in_tensorboard(
    logger: TensorBoardLogger, tag: str, gif: Path, step: int, caption: str
) -> None:
    """As an image, which TensorBoard plays (``add_video`` would need moviepy)."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    image = Summary.Image(encoded_image_string=gif.read_bytes(), colorspace=3)
    name = f"{tag}: {caption}" if caption else tag
    writer = logger.experiment._get_file_writer()
    writer.add_summary(Summary(value=[Summary.Value(tag=name, image=image)]), step)


def log_config(trainer: Trainer, text: str) -> None:
    """Give the config of a run, YAML, to all loggers: to TensorBoard as a text."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text("config", f"```yaml\n{text}\n```", trainer.global_step)
        else:
            logger.log_hyperparams(load_yaml(text))
