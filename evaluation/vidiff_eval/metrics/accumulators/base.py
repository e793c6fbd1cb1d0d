"""What accumulators share: states that any number of processes can join, and the ids of clips."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric

from vidiff.evaluation_report import Score
from vidiff_eval.protocol import fingerprint

if TYPE_CHECKING:
    from vidiff_eval.metrics.base import VideoMetric

MAX_AXES = 4
"""Of what is kept of one clip."""


class Accumulator(Metric, ABC):
    """A metric over batches and processes: ``update`` takes clips in, ``compute`` gives scores.

    ``compute`` and ``scores`` are collective: every process of a group has to call them, one that
    saw no clip as well. They give the same for any number of processes and any split of the clips,
    but for rounding.

    ``ids`` name the clips, uniquely among all of a side. A clip whose id came before is not counted
    again, on any process: so the clips that ``DistributedSampler`` repeats, for all processes to
    have equally many, count once. Without ids every clip counts.

    Everything that was taken in is in the states, so they can be reset, saved (after
    ``persistent(True)``), loaded and merged, as those of every ``torchmetrics.Metric``. They are
    float64, on the accumulator's device; moving it moves the metric.

    Args:
        metric: what is measured.
        axes: of what is kept of one clip; by default those of the first that comes.
        kwargs: see ``torchmetrics.Metric``.
    """

    identity: Tensor
    shape: Tensor
    is_differentiable = False
    full_state_update = False

    def __init__(self, metric: VideoMetric, *, axes: Sequence[int] = (), **kwargs: Any) -> None:
        # A process without an update since would answer from its cache, and the others wait for it.
        super().__init__(**{"compute_with_cache": False, **kwargs})
        self.metric = metric
        self._metric_device = self.device
        # Each in 16 bits, as a MetricCollection joins metrics whose states are *nearly* equal.
        self.add_state("identity", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="max")
        self.add_state("shape", _padded(axes), dist_reduce_fx="max")

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]
        """Which way the main score is better."""
        return self.metric.higher_is_better

    @property
    @abstractmethod
    def accumulates(self) -> dict[str, Any]:
        """What decides the states, as plain values: equal ones may be shared or merged."""

    @abstractmethod
    def measured(self) -> list[Score]:
        """The scores of the states as they are."""

    def compute(self) -> dict[str, float]:
        """The scores of all clips so far, on all processes: values by name.

        Raises:
            ValueError: if there are too few clips.
        """
        try:
            return {score.name: score.value for score in self.measured()}
        except ValueError:
            self._part()
            raise

    def scores(self) -> list[Score]:
        """The scores with their intervals, of all clips so far, on all processes.

        Raises:
            ValueError: if there are too few clips.
        """
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn,
            should_sync=self._to_sync,
            should_unsync=self._should_unsync,
        ):
            try:
                return self.measured()
            except ValueError:
                self._part()
                raise

    def _part(self) -> None:
        """Back to this process's own states, which torchmetrics leaves out after an error."""
        if self._is_synced:
            self.unsync()

    # -- States -----------------------------------------------------------------------------------

    def add_list(self, name: str) -> None:
        """Declare a state of one axis that grows, int64 if it holds ids, and float64 otherwise.

        What has several axes is kept flat: a process that saw no clip does not know them.
        """
        self.add_state(name, [], dist_reduce_fx="cat")

    def read_list(self, name: str) -> Tensor:
        """All of a state that grows, (n,)."""
        state = getattr(self, name)
        if isinstance(state, Tensor):  # as processes were joined
            return state
        if len(state) != 1:
            dtype = torch.int64 if name.endswith("ids") else torch.float64
            none = torch.zeros(0, dtype=dtype, device=self.device)
            setattr(self, name, [torch.cat([none, *state])])
        joined: Tensor = getattr(self, name)[0]
        return joined

    def read_vectors(self, name: str) -> Tensor:
        """The same, a row for each clip: (n, …)."""
        return self.read_list(name).view(-1, *self.axes())

    def axes(self) -> list[int]:
        """Of what is kept of one clip; none while no clip was met."""
        return [size for size in self.shape.tolist() if size]

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Join the states of all processes; each has just one tensor of each, be it empty."""
        for name, default in self._defaults.items():
            if isinstance(default, list):
                self.read_list(name)
        super().sync(*args, **kwargs)

    def prepare(self) -> None:
        """Before an update: put the metric where the states are, and note what they are of."""
        if self._metric_device != self.device:
            self.metric.to(self.device)
            self._metric_device = self.device
        self.identity = self._identity()

    def check_identity(self) -> None:
        """Raise a ``ValueError`` if the states are another metric's, or of other settings."""
        if self.identity.any() and not torch.equal(self.identity, self._identity()):
            raise ValueError(
                f"the states of this {type(self.metric).__name__} were taken by another metric or "
                "with other settings: load them into an accumulator like the one that saved them, "
                "and set a metric up before its first update"
            )

    def _identity(self) -> Tensor:
        digits = fingerprint(self.accumulates)
        parts = [int(digits[i : i + 4], 16) for i in range(0, 16, 4)]
        return self.identity.new_tensor(parts)

    def keep_shape(self, vectors: Tensor) -> Tensor:
        """(n, …) as the states hold it, (n, k) in float64; notes the axes, for ``read_vectors``.

        Raises:
            ValueError: if clips before had other axes.
        """
        before, axes = self.axes(), list(vectors.shape[1:]) or [1]
        if before not in ([], axes):
            raise ValueError(
                f"clips before gave {before}, these give {axes}: all must have the same number of "
                "frames, and where that matters the same size"
            )
        self.shape = _padded(axes).to(self.device)
        return vectors.detach().to(self.device, torch.float64).flatten(1)

    # -- Clips ------------------------------------------------------------------------------------

    def hash(self, ids: Sequence[str]) -> Tensor:
        """Ids as numbers (n,): the first eight bytes of their SHA-256."""
        digests = (hashlib.sha256(clip.encode()).digest()[:8] for clip in ids)
        numbers = [int.from_bytes(digest, "big", signed=True) for digest in digests]
        return torch.tensor(numbers, dtype=torch.int64, device=self.device)


def _padded(axes: Sequence[int]) -> Tensor:
    return torch.tensor([*axes, *[0] * (MAX_AXES - len(axes))], dtype=torch.int64)


def fresh(ids: Tensor, *known: Tensor) -> Tensor:
    """Places (k,) in ``ids`` (n,), in their order, of those that come first and are not known."""
    _, which = torch.unique(ids, return_inverse=True)
    places = torch.arange(len(ids), device=ids.device)
    first = places.new_full((len(ids),), len(ids)).scatter_reduce(0, which, places, "amin")
    is_fresh = first[which] == places
    for others in known:
        is_fresh &= ~torch.isin(ids, others)
    return places[is_fresh]


def check_videos(videos: Tensor, ids: Sequence[str] | None) -> None:
    """Raise a ``ValueError`` unless ``videos`` are clips, with an id each if there are ids."""
    if videos.ndim != 5 or videos.shape[1] != 3:
        raise ValueError(
            f"videos must be (b, 3, f, h, w) in [-1, 1], got the shape {tuple(videos.shape)}"
        )
    if ids is not None and len(ids) != len(videos):
        raise ValueError(f"{len(videos)} videos need as many ids, got {len(ids)}")
    if isinstance(ids, str):
        raise ValueError(f"ids are a list of strings, got the string {ids!r}")


def check_frames(videos: Tensor, min_frames: int) -> None:
    """Raise a ``ValueError`` if clips (b, 3, f, h, w) are too short for features."""
    if videos.shape[2] < min_frames:
        raise ValueError(f"clips need at least {min_frames} frames here, got {videos.shape[2]}")
