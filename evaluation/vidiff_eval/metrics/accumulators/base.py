"""What accumulators share: a vector of each clip, which any number of processes can join."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from vidiff.evaluation_report import Score
from vidiff_eval.protocols.protocol import fingerprint
from vidiff_eval.statistics.frechet import Moments

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

    A vector of each clip is kept, in float64 on the accumulator's device: what a metric found, or
    features. With ``stream`` only sums are kept, and the clips of the last update: whether another
    process has them too shows when processes are joined. States can be reset, saved (after
    ``persistent(True)``), loaded and merged, as those of every ``torchmetrics.Metric``.

    Args:
        metric: what is measured.
        axes: of what is kept of one clip; by default those of the first that comes.
        stream: whether to keep sums of all clips but the last.
        kwargs: see ``torchmetrics.Metric``.
    """

    sides: ClassVar[tuple[str, ...]] = ("generated",)
    identity: Tensor
    shape: Tensor
    is_differentiable = False
    full_state_update = False

    def __init__(
        self, metric: VideoMetric, *, axes: Sequence[int] = (), stream: bool = False, **kwargs: Any
    ) -> None:
        # A process without an update since would answer from its cache, and the others wait for it.
        super().__init__(**{"compute_with_cache": False, **kwargs})
        self.metric, self.stream = metric, stream
        self._metric_device = self.device
        # Each in 16 bits, as a MetricCollection joins metrics whose states are *nearly* equal.
        self.add_state("identity", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="max")
        self.add_state("shape", _padded(axes), dist_reduce_fx="max")
        for side in self.sides:
            for name in ("vectors", "ids", *(("sums", "sum_ids") if stream else ())):
                # Flat: a process that saw no clip does not know the axes.
                self.add_state(f"{side}_{name}", [], dist_reduce_fx="cat")

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
        return {score.name: score.value for score in self._checked()}

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
            return self._checked()

    def _checked(self) -> list[Score]:
        try:
            if self.identity.any() and not torch.equal(self.identity, self._identity()):
                raise ValueError(
                    f"the states of this {type(self.metric).__name__} were taken by another metric "
                    "or with other settings: load them into an accumulator like the one that saved "
                    "them, and set a metric up before its first update"
                )
            return self.measured()
        except ValueError:
            if self._is_synced:  # torchmetrics leaves that out after an error
                self.unsync()
            raise

    def _identity(self) -> Tensor:
        digits = fingerprint(self.accumulates)
        return self.identity.new_tensor([int(digits[i : i + 4], 16) for i in range(0, 16, 4)])

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Join the states of all processes; each has just one tensor of each, be it empty."""
        for name, default in self._defaults.items():
            if isinstance(default, list):
                self.read_list(name)
        super().sync(*args, **kwargs)

    # -- Clips ------------------------------------------------------------------------------------

    def add(
        self,
        videos: Tensor,
        ids: Sequence[str] | None,
        find: Callable[[list[int]], Tensor],
        side: str = "generated",
    ) -> None:
        """Take clips in.

        Args:
            videos: (b, 3, f, h, w) in [-1, 1].
            ids: of each.
            find: what is kept of the clips at some places (n, …).
            side: that the clips belong to.

        Raises:
            ValueError: if they are too short or of another shape, or only some have ids.
        """
        self._check(videos, ids)
        if self._metric_device != self.device:
            self.metric.to(self.device)
            self._metric_device = self.device
        self.identity = self._identity()
        known = [
            self.read_list(f"{side}_ids"),
            *([self.read_list(f"{side}_sum_ids")] if self.stream else []),
        ]
        kept = (getattr(self, f"{side}_{name}", ()) for name in ("vectors", "sums"))
        has_clips = any(part.numel() for parts in kept for part in parts)
        if has_clips and any(map(len, known)) != (ids is not None):
            raise ValueError(f"give ids to all updates of {side} clips, or to none")
        hashes = self._hash(ids or ())
        places = [*range(len(videos))] if ids is None else _fresh(hashes, *known).tolist()
        if not places:
            return
        vectors = self._flat(find(places))
        if self.stream:
            self._fold(side)
        getattr(self, f"{side}_vectors").append(vectors.flatten())
        if ids is not None:
            getattr(self, f"{side}_ids").append(hashes[places])

    def _check(self, videos: Tensor, ids: Sequence[str] | None) -> None:
        if videos.ndim != 5 or videos.shape[1] != 3:
            raise ValueError(
                f"videos must be (b, 3, f, h, w) in [-1, 1], got the shape {tuple(videos.shape)}"
            )
        if ids is not None and len(ids) != len(videos):
            raise ValueError(f"{len(videos)} videos need as many ids, got {len(ids)}")
        if isinstance(ids, str):
            raise ValueError(f"ids are a list of strings, got the string {ids!r}")
        least = self.metric.min_frames
        if videos.shape[2] < least:
            raise ValueError(f"clips need at least {least} frames here, got {videos.shape[2]}")

    def _flat(self, vectors: Tensor) -> Tensor:
        """(n, …) as the states hold it, (n, k) in float64; notes the axes."""
        before, axes = self.axes, list(vectors.shape[1:]) or [1]
        if before not in ([], axes):
            raise ValueError(
                f"clips before gave {before}, these give {axes}: all must have the same number of "
                "frames, and where that matters the same size"
            )
        self.shape = _padded(axes).to(self.device)
        return vectors.detach().to(self.device, torch.float64).flatten(1)

    def _hash(self, ids: Sequence[str]) -> Tensor:
        """Ids as numbers (n,): the first eight bytes of their SHA-256."""
        digests = (hashlib.sha256(clip.encode()).digest()[:8] for clip in ids)
        numbers = [int.from_bytes(digest, "big", signed=True) for digest in digests]
        return torch.tensor(numbers, dtype=torch.int64, device=self.device)

    # -- States -----------------------------------------------------------------------------------

    @property
    def axes(self) -> list[int]:
        """Of what is kept of one clip; none while no clip was met."""
        return [size for size in self.shape.tolist() if size]

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

    def vectors(self, side: str = "generated") -> Tensor:
        """What is kept of the clips of a side, each once (n, …), in the order of their ids.

        Raises:
            ValueError: if only some have ids.
        """
        vectors, ids = (
            self.read_list(f"{side}_vectors").view(-1, *self.axes),
            self.read_list(f"{side}_ids"),
        )
        if len(ids) not in (0, len(vectors)):
            raise ValueError(
                f"{len(ids)} of {len(vectors)} {side} clips have ids: give all or none"
            )
        if not len(ids):
            return vectors
        order = ids.argsort(stable=True)
        return vectors[order[_fresh(ids[order], *self._summed(side))]]

    def _summed(self, side: str) -> list[Tensor]:
        """Ids of the clips that are in the sums, if there are sums."""
        return [self.read_list(f"{side}_sum_ids")] if self.stream else []

    def _fold(self, side: str) -> None:
        """Add the clips of this process that are kept to the sums."""
        vectors = self.read_list(f"{side}_vectors").view(-1, *self.axes)
        if not len(vectors):
            return
        news = _sums(vectors)
        olds = self.read_list(f"{side}_sums").view(-1, len(news))
        setattr(self, f"{side}_sums", [olds.sum(0) + news])
        getattr(self, f"{side}_sum_ids").append(self.read_list(f"{side}_ids"))
        setattr(self, f"{side}_vectors", [])
        setattr(self, f"{side}_ids", [])

    def moments(self, side: str) -> Moments:
        """Sums over the features of a side's clips, each once, on the CPU.

        Raises:
            ValueError: if a clip with an id is in the sums of several processes.
        """
        ids, width = self.read_list(f"{side}_sum_ids"), self.axes[-1]
        if repeated := len(ids) - len(ids.unique()):
            raise ValueError(
                f"{repeated} of the clips were given to several processes or merged twice, and "
                "not in their last update alone, so they are in the sums already: give each "
                "process clips of its own, as DistributedSampler does (which repeats just one on "
                "a process, its last), and reset() between epochs"
            )
        news = _sums(self.vectors(side))
        total = (self.read_list(f"{side}_sums").view(-1, len(news)).sum(0) + news).cpu()
        return Moments(total[0], total[1 : 1 + width], total[1 + width :].view(width, width))


def _sums(vectors: Tensor) -> Tensor:
    """The number of features of clips (n, …, d), their sum, and that of their products (k,)."""
    moments = Moments.of(vectors.reshape(-1, vectors.shape[-1]))
    return torch.cat([moments.count[None], moments.sum, moments.outer.flatten()])


def _padded(axes: Sequence[int]) -> Tensor:
    return torch.tensor([*axes, *[0] * (MAX_AXES - len(axes))], dtype=torch.int64)


def _fresh(ids: Tensor, *known: Tensor) -> Tensor:
    """Places (k,) in ``ids`` (n,), in their order, of those that come first and are not known."""
    _, which = torch.unique(ids, return_inverse=True)
    places = torch.arange(len(ids), device=ids.device)
    first = places.new_full((len(ids),), len(ids)).scatter_reduce(0, which, places, "amin")
    is_fresh = first[which] == places
    for others in known:
        is_fresh &= ~torch.isin(ids, others)
    return places[is_fresh]
