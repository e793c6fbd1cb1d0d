"""Loaders of batches: in dataloader workers or in the training process, always in one order."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from vidiff.data.base import VideoDataset, collate
from vidiff.data.order import ClipStream
from vidiff.formatting import listed
from vidiff.types import Batch

log = logging.getLogger("vidiff.loaders")  # of vidiff.data only the first process logs

_MAX_REPORTED = 20  # bad files that one process names; further ones are only counted


class _Loaded(NamedTuple):
    """What a worker hands over."""

    batch: Batch | ValueError
    problems: dict[str, str]


class _Worker(Dataset[_Loaded]):
    """Loads whole batches; errors travel with the data, as the main process reports them best."""

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
        self.problems: dict[str, str] = {}  # files left out so far in all workers, and why
        self._reported = set() if reported is None else reported
        self._num_summarised = 0
        self._loader: DataLoader[Any] | None = None
        # By this name Lightning finds the workers and stops them when it is done.
        self._iterator: Iterator[_Loaded] | None = None

    def _load(self) -> Iterator[_Loaded]:
        """From the start of the batches; workers that are alive go on."""
        if self._loader is None or self._iterator is None:
            self._loader = DataLoader(
                _Worker(self.dataset),
                batch_size=None,  # the sampler's items are batches
                sampler=self.batches,
                num_workers=self.num_workers,
                collate_fn=_unchanged,
                pin_memory=self.pin_memory,
                persistent_workers=self.num_workers > 0,
                generator=torch.Generator(),  # or it would draw from the global one
            )
        self._iterator = iter(self._loader)
        return self._iterator

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
            skipped = f"{len(self.problems)}{of} files skipped: {listed(sorted(self.problems))}"
            log.warning("%s: %s", self.label, skipped)


class TrainLoader(_Loader):
    """The training batches of one process.

    Lightning asks for a new iterator in each epoch and again when it resumes; all of them go on
    where the stream stands, so workers start once and never wait for an epoch's end. Workers run
    ahead; what counts is what was handed over.

    Args:
        in_flight: returns how many of the batches handed over have not been trained on yet, for a
            checkpoint that is saved in the middle of a step (on a signal or an exception).
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
        self.seconds_waited = 0.0  # by whoever asked for batches, until they were there

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> TrainLoader:
        return self

    def __next__(self) -> Batch:
        since = time.perf_counter()
        loaded = next(self._load() if self._iterator is None else self._iterator)
        self.seconds_waited += time.perf_counter() - since
        batch = self._report(loaded)
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


def _unchanged(loaded: Any) -> Any:
    return loaded
