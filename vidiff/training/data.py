"""Batches of any dataset, in an order that survives everything (see ``vidiff.data.order``)."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import Sampler

from vidiff.checks import at_least
from vidiff.data.base import MakeDataset, Split, VideoDataset
from vidiff.data.loaders import EvalLoader, TrainLoader
from vidiff.data.moving_shapes import MovingShapes
from vidiff.data.order import ClipStream, EvalBatches
from vidiff.training.processes import share_of_data
from vidiff.training.workers import NumWorkers, Workers, choose_workers

log = logging.getLogger(__name__)


class VideoDataModule(LightningDataModule):
    """Batches of clips for training, validation and test.

    An epoch has ``number of clips // clips per step`` steps; the clips left over come first in the
    next one, so none is dropped and none comes twice. The trainer's ``limit_train_batches``
    shortens epochs in the same way. Each process of a distributed run gets its own clips, whatever
    ``use_distributed_sampler`` says. Validation and test go through the split once, in order,
    nothing twice (but for a split of fewer clips than processes).

    Files that the dataset leaves out are logged once with the reason, and counted at the end of
    each epoch.

    Args:
        dataset: what to batch.
        batch_size: clips in a batch of one process.
        val_batch_size: the same in validation and test; null is ``batch_size``.
        num_workers: processes that prepare batches ahead; 0 prepares them in the training process.
            The batches are the same for any number. ``auto`` is 0 for training on the CPU, which
            needs the cores itself, and elsewhere a process's cores but one, at most 8.
        seed: decides the order of the training clips.
    """

    def __init__(
        self,
        *,
        dataset: MakeDataset = MovingShapes,
        batch_size: int = 64,
        val_batch_size: int | None = None,
        num_workers: NumWorkers = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__()
        at_least(1, batch_size=batch_size, val_batch_size=val_batch_size)
        at_least(0, num_workers=0 if num_workers == "auto" else num_workers, seed=seed)
        self.make_dataset = dataset
        self.batch_size = batch_size
        self.val_batch_size = batch_size if val_batch_size is None else val_batch_size
        self.num_workers, self.seed = num_workers, seed
        self._datasets: dict[Split, VideoDataset] = {}
        self._reported: set[str] = set()
        self._train_loader: TrainLoader | None = None
        self._restored: dict[str, int] | None = None
        self._told = False

    @property
    def workers(self) -> Workers:
        """What ``num_workers`` comes to in each process of this run."""
        return choose_workers(self.num_workers, self.trainer)

    @property
    def seconds_waited(self) -> float:
        """How long training has waited for batches so far."""
        return self._train_loader.seconds_waited if self._train_loader else 0.0

    def describe(self) -> dict[str, Any]:
        """How batches are made, for ``run.json``; ``validation`` is null where there is none."""
        val, workers = self._datasets.get("val"), self.workers
        of = {True: "held-out clips", False: "training clips", None: None}
        return {
            "num_workers": workers.number,
            "num_workers_why": workers.why,
            "validation": of[val.held_out if val else None],
        }

    def dataset(self, split: Split) -> VideoDataset:
        """The dataset of one split, made once; ``ValueError`` if it has no clip."""
        if split not in self._datasets:
            if self.trainer is not None and not self.trainer.is_global_zero:
                # All processes find the same folder: one says what it found.
                logging.getLogger("vidiff.data").setLevel(logging.ERROR)
            dataset = self.make_dataset(split=split)
            if len(dataset) == 0:
                raise ValueError(f"{type(dataset).__name__} has no clip for {split}")
            self._datasets[split] = dataset
        return self._datasets[split]

    def train_dataloader(self) -> TrainLoader:
        dataset = self.dataset("train")
        rank, world_size = share_of_data(self.trainer)
        stream = ClipStream(
            len(dataset), self.batch_size, rank, world_size, self.seed, dataset.draws_anew,
            dataset.num_sizes,
        )  # fmt: skip
        in_flight = None
        if self.trainer is not None:
            if self.trainer.reload_dataloaders_every_n_epochs:  # type: ignore[attr-defined]
                raise ValueError(
                    "leave reload_dataloaders_every_n_epochs at 0: the order of the data is one "
                    "stream, and reloading would begin it again"
                )
            if overfit := self.trainer.overfit_batches:  # type: ignore[attr-defined]
                steps = overfit if isinstance(overfit, int) else int(overfit * len(stream))
                stream = stream.first(steps)
            in_flight = partial(_in_flight, self.trainer)
        loader = TrainLoader(dataset, stream, in_flight=in_flight, **self._settings("train"))
        if self._restored is not None:
            loader.load_state_dict(self._restored)
            self._restored = None
        self._train_loader = loader
        return loader

    def val_dataloader(self) -> EvalLoader:
        loader = self._eval_loader("val")
        if not self._told and not self.dataset("val").held_out:
            self._told = True
            if self.trainer is None or self.trainer.is_global_zero:
                log.warning(
                    "validation is on the training clips, so val/loss is not that of new ones: "
                    "keep some from training (video_folder: --data.dataset.val_fraction 0.1)"
                )
        return loader

    def test_dataloader(self) -> EvalLoader:
        return self._eval_loader("test")

    # Lightning restores a loader's own state only in the middle of an epoch, ours always.

    def state_dict(self) -> dict[str, Any]:
        return {"train": self._train_loader.state_dict()} if self._train_loader else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict["train"]

    def _eval_loader(self, split: Split) -> EvalLoader:
        dataset = self.dataset(split)
        rank, world_size = share_of_data(self.trainer)
        batches = EvalBatches(
            len(dataset), self.val_batch_size, rank, world_size, num_sizes=dataset.num_sizes
        )
        return self.loader(split, batches)

    def loader(self, split: Split, batches: Sampler[list[int]]) -> EvalLoader:
        """Loads the clips of a split at the indices that ``batches`` gives, once through."""
        return EvalLoader(self.dataset(split), batches, **self._settings(split))

    def _settings(self, split: Split) -> dict[str, Any]:
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        rank, world_size = share_of_data(self.trainer)
        return {
            "label": split if world_size == 1 else f"{split}, process {rank}",
            "num_workers": self.workers.number,
            "pin_memory": on_gpu,
            "reported": self._reported,
        }


def _in_flight(trainer: Trainer) -> int:
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return progress.ready - progress.processed
