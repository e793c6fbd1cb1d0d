"""Originals next to their reconstructions, and the scores of each validation."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from vidiff.checks import positive
from vidiff.files import new_folder, write_text
from vidiff.training.autoencoder.task import AutoencoderTask, pixels_of
from vidiff.training.loggers import viewers
from vidiff.types import Batch
from vidiff.video import enlarged, scale_to, write_video

FOLDER = "reconstructions"
TABLE = "metrics.csv"
SHORT_SIDE = 128
"""Small videos are enlarged to about this many pixels."""


class Reconstructions(Callback):
    """Shows the first videos of each validation next to their reconstructions, originals left.

    They go as gifs into ``reconstructions/step_…`` of the run folder, and to the loggers that show
    videos (TensorBoard, Weights & Biases). ``reconstructions/metrics.csv`` has a row for each
    validation of the run: the step, and every score that begins with ``val/``. ``vidiff validate``
    and ``test`` only write the videos, into ``reconstructions/validate`` and ``test``. A folder
    that is there already stays as it is.

    Args:
        num_videos: how many, at most those of the first process.
        fps: frames per second of the files.

    Raises:
        ValueError: if a number is not positive.
    """

    def __init__(self, num_videos: int = 4, fps: float = 8) -> None:
        positive(num_videos=num_videos, fps=fps)
        self.num_videos, self.fps = num_videos, fps
        self._pairs: list[Tensor] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse (``TypeError``) a task that reconstructs nothing."""
        if not isinstance(pl_module, AutoencoderTask):
            name = type(pl_module).__name__
            raise TypeError(f"Reconstructions needs an AutoencoderTask, not a {name}")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._pairs = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch,
        batch_idx: int, dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        missing = self.num_videos - len(self._pairs)
        if missing and trainer.is_global_zero and not trainer.sanity_checking:
            originals = pixels_of(batch)[:missing]
            pairs = zip(originals, outputs["reconstructions"], strict=False)
            self._pairs += [beside(*(x.float().cpu() for x in pair)) for pair in pairs]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        scores = trainer.callback_metrics  # asked by every process, as reducing takes all of them
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        assert trainer.state.fn is not None
        fitting = trainer.state.fn == "fit"
        folder = Path(trainer.default_root_dir, FOLDER)
        name = f"step_{trainer.global_step:08d}" if fitting else trainer.state.fn.value
        self._write(trainer, folder / name)
        if fitting:
            row = {name: f"{x:.6g}" for name, x in scores.items() if name.startswith("val/")}
            add_row(folder / TABLE, {"step": str(trainer.global_step), **row})

    on_test_start = on_validation_start
    on_test_batch_end = on_validation_batch_end
    on_test_end = on_validation_end

    def _write(self, trainer: Trainer, folder: Path) -> None:
        if folder.exists():
            rank_zero_warn(f"{folder} is there already and stays as it is")
            return
        if not all(pair.isfinite().all() for pair in self._pairs):
            rank_zero_warn(f"no videos in {folder}: reconstructions hold NaN or infinity")
            return
        with new_folder(folder) as temporary:
            for index, pair in enumerate(self._pairs):
                write_video(temporary / f"{index:05d}.gif", pair, self.fps)
        for show in viewers(trainer):
            for gif in sorted(folder.iterdir()):
                show(f"{FOLDER}/{gif.stem}", gif, trainer.global_step, "")


def beside(original: Tensor, reconstruction: Tensor) -> Tensor:
    """Two videos (3, f, h, w) in one, left and right of a dark line, enlarged if they are small."""
    line = torch.full_like(original[..., :1], -1)
    both = torch.cat([original, line, reconstruction], dim=-1)
    return enlarged(both, scale_to(SHORT_SIDE, original.shape[-2:]))


def add_row(path: Path, row: dict[str, str]) -> None:
    """Add a row to a table, in place of one of the same step, with the columns of all rows."""
    rows = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            rows = [old for old in csv.DictReader(file) if old["step"] != row["step"]]
    columns = dict.fromkeys(name for known in (*rows, row) for name in known)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*rows, row])
    write_text(path, text.getvalue())
