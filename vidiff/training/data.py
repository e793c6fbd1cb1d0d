"""Batches of any dataset, in an order that survives everything.

Training data is one endless stream of clips: epoch after epoch, each in an order of its own. The
clip at position ``p`` of the stream is a pure function of the seed and ``p``, and the batch ``k``
of ``R`` processes with ``B`` clips each is the stream's clips from ``k R B`` on, ``B`` for each
process in turn. So the number of clips used is all there is to save: a resumed run goes on with
the very next clip, in the middle of an epoch as well, and on more or fewer processes too.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset, Sampler

from vidiff.checks import at_least
from vidiff.data.base import MakeDataset, Split, VideoDataset, collate
from vidiff.data.moving_shapes import MovingShapes
from vidiff.data.permutation import Permutation
from vidiff.types import Batch

log = logging.getLogger(__name__)

_MAX_REPORTED = 20  # bad files that one process names; further ones are only counted


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
        num_workers: processes that prepare batches; 0 prepares them in the training process.
        seed: decides the order of the training clips.
    """

    def __init__(
        self,
        *,
        dataset: MakeDataset = MovingShapes,
        batch_size: int = 64,
        val_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        at_least(1, batch_size=batch_size, val_batch_size=val_batch_size)
        at_least(0, num_workers=num_workers, seed=seed)
        self.make_dataset = dataset
        self.batch_size = batch_size
        self.val_batch_size = batch_size if val_batch_size is None else val_batch_size
        self.num_workers, self.seed = num_workers, seed
        self._datasets: dict[Split, VideoDataset] = {}
        self._reported: set[str] = set()
        self._train_loader: TrainLoader | None = None
        self._restored: dict[str, int] | None = None

    def dataset(self, split: Split) -> VideoDataset:
        """The dataset of one split; made once.

        Raises:
            ValueError: if it has no clip.
        """
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
        rank, world_size = self._place()
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
        return self._eval_loader("val")

    def test_dataloader(self) -> EvalLoader:
        return self._eval_loader("test")

    # Lightning restores a loader's own state in the middle of an epoch alone, ours always.

    def state_dict(self) -> dict[str, Any]:
        return {"train": self._train_loader.state_dict()} if self._train_loader else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict["train"]

    def _eval_loader(self, split: Split) -> EvalLoader:
        dataset = self.dataset(split)
        batches = EvalBatches(
            len(dataset), self.val_batch_size, *self._place(), num_sizes=dataset.num_sizes
        )
        return self.loader(split, batches)

    def loader(self, split: Split, batches: Sampler[list[int]]) -> EvalLoader:
        """Loads the clips of a split at the indices that ``batches`` gives, once through."""
        return EvalLoader(self.dataset(split), batches, **self._settings(split))

    def _settings(self, split: Split) -> dict[str, Any]:
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        rank, world_size = self._place()
        return {
            "label": split if world_size == 1 else f"{split}, process {rank}",
            "num_workers": self.num_workers,
            "pin_memory": on_gpu,
            "reported": self._reported,
        }

    def _place(self) -> tuple[int, int]:
        """Rank and number of processes that get different data."""
        place = self.trainer.distributed_sampler_kwargs if self.trainer is not None else None
        # Not the world size: processes that share one model's layers get the same data.
        return (place["rank"], place["num_replicas"]) if place else (0, 1)


class ClipStream(Sampler[list[int]]):
    """The training batches of one process, from ``position`` on, without end.

    Args:
        num_clips: in one epoch.
        batch_size: clips in a batch of one process.
        rank: which process.
        world_size: how many there are.
        seed: decides the order.
        draws_anew: whether an index says the epoch too, see ``VideoDataset``.
        num_sizes: sizes that clips may have; each step has one, the same in all processes, and
            every ``num_sizes`` steps have each once.
    """

    def __init__(
        self,
        num_clips: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        draws_anew: bool = False,
        num_sizes: int = 1,
    ) -> None:
        self.num_clips, self.batch_size = num_clips, batch_size
        self.rank, self.world_size = rank, world_size
        self.seed, self.draws_anew, self.num_sizes = seed, draws_anew, num_sizes
        self.position = 0
        """Clips that all processes together have used."""

    @property
    def clips_per_step(self) -> int:
        """Clips in one batch of all processes."""
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        """Steps in an epoch."""
        return max(1, self.num_clips // self.clips_per_step)

    def __iter__(self) -> Iterator[list[int]]:
        position = self.position
        while True:
            begin = position + self.rank * self.batch_size
            clips = self.indices(np.arange(begin, begin + self.batch_size))
            size = self.size_of(position // self.clips_per_step)
            yield (clips * self.num_sizes + size).tolist()
            position += self.clips_per_step

    def size_of(self, step: int) -> int:
        """Which size the clips of a step have."""
        turn, place = divmod(step, self.num_sizes)
        return int(Permutation(self.num_sizes, self.seed, turn)(np.array([place]))[0])

    def indices(self, positions: np.ndarray) -> np.ndarray:
        """The clips at ``positions`` of the stream: the dataset's indices where it has one size."""
        epochs, places = np.divmod(positions, self.num_clips)
        indices = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order = Permutation(self.num_clips, self.seed, int(epoch))
            indices[here] = order(places[here])
        return indices + epochs * self.num_clips if self.draws_anew else indices

    def first(self, num_steps: int) -> ClipStream:
        """The stream over the clips of the first steps, the same draws again in each epoch."""
        num_clips = min(self.num_clips, max(1, num_steps) * self.clips_per_step)
        return ClipStream(
            num_clips, self.batch_size, self.rank, self.world_size, self.seed,
            num_sizes=self.num_sizes,
        )  # fmt: skip


class EvalBatches(Sampler[list[int]]):
    """The validation batches of one process: all clips once, in order, in batches of one size.

    Processes have equally many batches, or one that shards the model would wait for the others.
    The clips are dealt evenly, so that batch sizes differ by one at most. Where clips may have
    several sizes, batches have them in turn.

    Args:
        num_clips: in the split.
        batch_size: most clips in a batch.
        rank: which process.
        world_size: how many there are.
        num_sizes: sizes that clips may have.
    """

    def __init__(
        self,
        num_clips: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        num_sizes: int = 1,
    ) -> None:
        self.num_clips, self.rank, self.world_size = num_clips, rank, world_size
        self.num_sizes = num_sizes
        self.num_steps = -(-num_clips // (batch_size * world_size))

    def __len__(self) -> int:
        return self.num_steps

    def __iter__(self) -> Iterator[list[int]]:
        num_batches = self.num_steps * self.world_size
        for batch in range(self.rank, num_batches, self.world_size):
            begin = batch * self.num_clips // num_batches
            end = (batch + 1) * self.num_clips // num_batches
            # Fewer clips than processes: some take one that another has, as none may be idle.
            size = batch // self.world_size % self.num_sizes
            yield [clip * self.num_sizes + size for clip in range(begin, max(end, begin + 1))]


class _Loaded(NamedTuple):
    """What a worker hands over."""

    batch: Batch | ValueError
    problems: dict[str, str]


class _Worker(Dataset[_Loaded]):
    """Loads whole batches, in a worker process or in this one.

    Errors and problems travel with the data, as only the main process can report them well.
    """

    def __init__(self, dataset: VideoDataset) -> None:
        self.dataset = dataset
        self._told: set[str] = set()

    def __getitem__(self, indices: list[int]) -> _Loaded:
        batch: Batch | ValueError
        try:
            batch = collate(self.dataset.__getitems__(indices))
        except ValueError as error:
            error.add_note(traceback.format_exc())  # does not travel by itself
            batch = error
        problems = self.dataset.problems()
        if len(problems) == len(self._told):
            return _Loaded(batch, {})
        new = {file: problems[file] for file in problems.keys() - self._told}
        self._told |= new.keys()
        return _Loaded(batch, new)


class _Loader:
    """What training and evaluation share.

    Not a ``DataLoader``: those Lightning takes apart in a distributed run to put a sampler of its
    own in; any other iterable it leaves alone.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        batches: Sampler[list[int]],
        *,
        label: str,
        num_workers: int = 0,
        pin_memory: bool = False,
        reported: set[str] | None = None,
    ) -> None:
        self.dataset, self.batches, self.label = dataset, batches, label
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.problems: dict[str, str] = {}
        """Files left out so far in all workers, with the reasons."""
        self._reported = set() if reported is None else reported
        self._num_summarised = 0

    def _load(self) -> Iterator[_Loaded]:
        loader: DataLoader[Any] = DataLoader(
            _Worker(self.dataset),
            batch_size=None,  # the sampler's items are batches
            sampler=self.batches,
            num_workers=self.num_workers,
            collate_fn=_unchanged,
            pin_memory=self.pin_memory,
            generator=torch.Generator(),  # or it would draw from the global one
        )
        return iter(loader)

    def _report(self, loaded: _Loaded) -> Batch:
        for file, reason in sorted(loaded.problems.items()):
            self.problems.setdefault(file, reason)
            if file not in self._reported and len(self._reported) < _MAX_REPORTED:
                log.warning("%s: %s left out: %s", self.label, file, reason)
            self._reported.add(file)
        if isinstance(loaded.batch, ValueError):
            raise loaded.batch
        return loaded.batch

    def _summarise(self) -> None:
        if len(self.problems) > self._num_summarised:
            self._num_summarised = len(self.problems)
            of = f" of {self.dataset.num_files}" if self.dataset.num_files else ""
            names = sorted(self.problems)
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            log.warning(
                "%s: %d%s files skipped: %s%s",
                self.label,
                len(names),
                of,
                ", ".join(names[:5]),
                more,
            )


class TrainLoader(_Loader):
    """The training batches of one process.

    Lightning asks for a new iterator in each epoch and again when it resumes; all of them go on
    where the stream stands, so workers start once and never wait for an epoch's end. Workers run
    ahead; what counts is what was handed over.

    Args:
        dataset: the clips.
        batches: their order.
        in_flight: tells how many of the batches handed over have not been trained on yet, for a
            checkpoint that is saved in the middle of a step (on a signal or an exception).
        settings: of every loader.
    """

    batches: ClipStream

    def __init__(
        self,
        dataset: VideoDataset,
        batches: ClipStream,
        *,
        in_flight: Callable[[], int] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(dataset, batches, **settings)
        self._in_flight = in_flight or (lambda: 0)
        # By this name Lightning finds the workers and stops them when it is done.
        self._iterator: Iterator[_Loaded] | None = None

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> TrainLoader:
        return self

    def __next__(self) -> Batch:
        if self._iterator is None:
            self._iterator = self._load()
        batch = self._report(next(self._iterator))
        stream = self.batches
        before, stream.position = stream.position, stream.position + stream.clips_per_step
        if before // stream.num_clips != stream.position // stream.num_clips:
            self._summarise()
        return batch

    def state_dict(self) -> dict[str, int]:
        """Where the stream stands: the clips that all processes have trained on."""
        used = self.batches.position - self._in_flight() * self.batches.clips_per_step
        return {"clips": used}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.batches.position = state["clips"]
        self._iterator = None


class EvalLoader(_Loader):
    """The validation or test batches of one process."""

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Batch]:
        for loaded in self._load():
            yield self._report(loaded)
        self._summarise()


def _in_flight(trainer: Trainer) -> int:
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return progress.ready - progress.processed


def _unchanged(loaded: Any) -> Any:
    return loaded
