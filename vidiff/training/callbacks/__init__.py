"""What happens beside training."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.callbacks.progress.progress_bar import ProgressBar as LightningProgressBar

from vidiff.training.callbacks.check_cache import CheckCache
from vidiff.training.callbacks.checkpoint import SaveCheckpoint
from vidiff.training.callbacks.clip_scores import ClipScores
from vidiff.training.callbacks.parts_table import PartsTable
from vidiff.training.callbacks.precision import KeepPrecision
from vidiff.training.callbacks.progress import RunProgressBar
from vidiff.training.callbacks.reconstructions import Reconstructions
from vidiff.training.callbacks.run_record import RunRecord
from vidiff.training.callbacks.run_scalars import RunScalars
from vidiff.training.callbacks.sample_videos import SampleVideos
from vidiff.training.callbacks.step_log import StepLog
from vidiff.training.callbacks.throughput import Throughput

__all__ = [
    "CheckCache",
    "ClipScores",
    "KeepPrecision",
    "PartsTable",
    "Reconstructions",
    "RunProgressBar",
    "RunRecord",
    "RunScalars",
    "SampleVideos",
    "SaveCheckpoint",
    "StepLog",
    "Throughput",
    "add_defaults",
]


def add_defaults(trainer_arguments: dict[str, Any]) -> None:
    """Add the callbacks that every run has, unless one of their kind is given or switched off."""
    given = trainer_arguments.get("callbacks") or []
    callbacks = list(given) if isinstance(given, (list, tuple)) else [given]

    def lacks(kind: type, switch: str | None = None) -> bool:
        wanted = switch is None or trainer_arguments.get(switch) is not False
        return wanted and not any(isinstance(callback, kind) for callback in callbacks)

    if lacks(LightningProgressBar, "enable_progress_bar"):
        callbacks.append(RunProgressBar())
    if lacks(ModelSummary, "enable_model_summary"):
        callbacks.append(PartsTable())
        trainer_arguments["enable_model_summary"] = False  # Lightning's own
    records = (RunRecord, RunScalars, ClipScores, StepLog, CheckCache)
    callbacks += [kind() for kind in records if lacks(kind)]
    if lacks(SaveCheckpoint, "enable_checkpointing"):
        callbacks.append(SaveCheckpoint())
    trainer_arguments["callbacks"] = callbacks
