"""Any metric as a ``torchmetrics.Metric``; see ``VideoMetric.accumulator``."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from vidiff.evaluation_report import Score
from vidiff_eval.features.base import check_number
from vidiff_eval.protocols.protocol import fingerprint
from vidiff_eval.statistics.frechet import Moments, check_sides, frechet_of_moments

if TYPE_CHECKING:
    from vidiff_eval.metrics.video_metric import VideoMetric

SIDES = ("real", "generated")
MAX_AXES = 4
"""Of what is kept of one clip."""


class Accumulator(Metric):
    """A metric over batches and processes: ``update`` takes clips in, ``compute`` returns scores.

    Scores are the same for any number of processes and any split of the clips, but for rounding.
    ``compute`` and ``scores`` are collective: every process has to call them, one without a clip as
    well. A vector of each clip is kept in float64: its features, or the sums of its scores.

    Args:
        metric: what is measured.
        stream: of a Fréchet distance, keep the clips of the last update, and of those before only
            sums: d² + d + 1 numbers a side for d features. There is no interval then.
        reset_real: of a metric of sets, whether ``reset`` forgets the real clips as well.
        kwargs: see ``torchmetrics.Metric``.

    Raises:
        ValueError: if ``stream`` is asked of a metric that needs the features of all clips.

    Example:
        >>> from vidiff.data import MovingShapes
        >>> from vidiff_eval.metrics import PromptAccuracy
        >>> clip = MovingShapes(split="val")[0]
        >>> metric = PromptAccuracy().accumulator()
        >>> metric.update(clip.pixels[None], [clip.caption], ids=[clip.id])
        >>> metric.compute()["prompt_accuracy"]
        1.0
    """

    identity: Tensor
    shape: Tensor
    is_differentiable = False
    full_state_update = False

    def __init__(
        self, metric: VideoMetric, *, stream: bool = False, reset_real: bool = True, **kwargs: Any
    ) -> None:
        # A process without an update since would answer from its cache, and the others wait for it.
        super().__init__(**{"compute_with_cache": False, **kwargs})
        self.metric: Any = metric
        self.name, self.is_of_sets = type(metric).__name__, metric.kind == "sets"
        self.stream, self.reset_real, self.device_before = stream, reset_real, self.device
        if stream and not getattr(metric, "follows_from_moments", False):
            raise ValueError(f"{self.name} needs all clips, not sums of them: leave stream out")
        # Each in 16 bits, as a MetricCollection joins metrics whose states are *nearly* equal.
        self.add_state("identity", torch.zeros(4, dtype=torch.int64), dist_reduce_fx="max")
        self.add_state("shape", torch.zeros(MAX_AXES, dtype=torch.int64), dist_reduce_fx="max")
        self.parts = ("vectors", "ids", *(("sums", "sum_ids") if stream else ()))
        for side in SIDES if self.is_of_sets else SIDES[1:]:
            for part in self.parts:  # flat: a process that saw no clip does not know the axes
                self.add_state(f"{side}_{part}", [], dist_reduce_fx="cat")

    @property
    def higher_is_better(self) -> Any:  # type: ignore[override]
        """Which way the main score is better."""
        return self.metric.higher_is_better

    def update(
        self,
        videos: Tensor,
        prompts: Sequence[str] | None = None,
        reference: Tensor | None = None,
        *,
        real: bool | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        """Take in clips; one whose id came before, on any process, does not count again.

        So the clips that ``DistributedSampler`` repeats count once. Without ids every clip counts.

        Args:
            videos: (b, 3, f, h, w) in [-1, 1].
            prompts: of each, for a metric of single clips that needs them.
            reference: the real clip of each, for a metric of pairs.
            real: which side they are, for a metric of sets.
            ids: of each, unique among all of a side.

        Raises:
            ValueError: if something is missing, of another shape, too short, or cannot be judged.
        """
        check_number(videos, prompts=prompts, reference=reference, ids=ids)
        if self.is_of_sets and real is None:
            raise ValueError(f"{self.name} compares sets: give update() real=True or real=False")
        if self.device_before != self.device:
            self.metric.to(self.device)
            self.device_before = self.device
        side, self.identity = SIDES[not real], self._identity()
        known, hashes = self._ids(side), _hashes(ids or ()).to(self.device)
        kept = any(self.joined(f"{side}_{part}").numel() for part in self.parts)
        if kept and any(map(len, known)) != (ids is not None):
            raise ValueError(f"give ids to all updates of {side} clips, or to none")
        places = torch.arange(len(videos)) if ids is None else _fresh(hashes, *known).cpu()
        if not len(places):
            return
        words = prompts and [prompts[i] for i in places]
        pairs = None if reference is None else reference[places]
        vectors = self._noted(self.metric.vectors(videos[places], words, pairs))
        if self.stream:  # what was kept until now joins the sums
            states = vectors.new_zeros(0), hashes[:0], self._sums(side), torch.cat(known)
            for part, state in zip(self.parts, states, strict=True):
                setattr(self, f"{side}_{part}", [state])
        getattr(self, f"{side}_vectors").append(vectors.flatten())
        getattr(self, f"{side}_ids").append(hashes[places] if ids else hashes)

    def compute(self) -> dict[str, float]:
        """The values of all clips so far, of all processes, by name; too few: ``ValueError``."""
        return {score.name: score.value for score in self._scores()}

    def scores(self) -> list[Score]:
        """The scores with their intervals, as in ``compute``."""
        with self.sync_context(self.dist_sync_fn, None, self._to_sync, self._should_unsync):
            return self._scores()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Take in clips, and return the scores of this batch, if not of sets."""
        if self.is_of_sets:
            raise NotImplementedError(
                f"{self.name} compares sets, and a batch is of one side: call update(videos, "
                "real=...) for either, then compute()"
            )
        return super().forward(*args, **kwargs)

    def reset(self) -> None:
        """Forget all clips; the real ones only with ``reset_real``."""
        names = [name for name in self._defaults if not name.startswith("generated")]
        kept = {name: copy(getattr(self, name)) for name in names}  # lists are emptied in place
        super().reset()
        for name, state in kept.items() if not self.reset_real else ():
            setattr(self, name, state)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Join the states of all processes; each has one tensor of each, be it empty."""
        for name in self._defaults.keys() - {"identity", "shape"}:
            self.joined(name)
        super().sync(*args, **kwargs)

    # -- States -----------------------------------------------------------------------------------

    def joined(self, name: str) -> Tensor:
        """All of a state that grows, (n,)."""
        state = getattr(self, name)
        if isinstance(state, Tensor):  # as processes were joined
            return state
        if len(state) != 1:
            dtype = torch.int64 if name.endswith("ids") else torch.float64
            none = torch.zeros(0, dtype=dtype, device=self.device)
            setattr(self, name, [torch.cat([none, *state])])
        whole: Tensor = getattr(self, name)[0]
        return whole

    @property
    def _axes(self) -> list[int]:
        """Of what is kept of one clip; of an unknown number of features, one."""
        width = 1 if self.is_of_sets else len(self.metric.tally([]))
        return [size for size in self.shape.tolist() if size] or [width]

    def _noted(self, vectors: Tensor) -> Tensor:
        """(n, …) in float64, whose axes are noted."""
        axes, before = list(vectors.shape[1:]) or [1], self._axes
        if self.shape.any() and before != axes:
            raise ValueError(
                f"clips before gave {before}, these give {axes}: all must have the same number of "
                "frames, and where that matters the same size"
            )
        self.shape = self.shape.new_tensor([*axes, *[0] * (MAX_AXES - len(axes))])
        return vectors.detach().to(self.device, torch.float64)

    def _identity(self) -> Tensor:
        """What decides the states: equal ones may be shared in a collection, or merged."""
        metric, decides = self.metric, {"metric": self.name, "settings": self.metric.settings}
        if self.is_of_sets:
            decides = {"features": metric.features.settings, "output": metric.output}
        digits = fingerprint(decides)
        return self.identity.new_tensor([int(digits[i : i + 4], 16) for i in range(0, 16, 4)])

    def _ids(self, side: str) -> list[Tensor]:
        """Of the clips that are kept; and of those in the sums, where there are sums."""
        return [self.joined(f"{side}_{part}") for part in self.parts if "ids" in part]

    def _vectors(self, side: str) -> Tensor:
        """What is kept of each clip of a side, once (n, …), in the order of their ids."""
        vectors = self.joined(f"{side}_vectors").view(-1, *self._axes)
        ids, *summed = self._ids(side)
        if len(ids) not in (0, len(vectors)):
            raise ValueError(f"{len(ids)} of {len(vectors)} {side} clips have ids: give all ids")
        return vectors[_fresh(ids, *summed)] if len(ids) else vectors

    def _sums(self, side: str) -> Tensor:
        """The number of features of all clips of a side, their sum, and that of their products."""
        moments = Moments.of(self._vectors(side).reshape(-1, self._axes[-1]))
        news = torch.cat([moments.count[None], moments.sum, moments.outer.flatten()])
        return self.joined(f"{side}_sums").view(-1, len(news)).sum(0) + news

    # -- Scores -----------------------------------------------------------------------------------

    def _scores(self) -> list[Score]:
        try:
            if self.identity.any() and not torch.equal(self.identity, self._identity()):
                raise ValueError(
                    f"the states of this {self.name} were taken by another metric or with other "
                    "settings: load them into an accumulator like the one that saved them, and "
                    "set a metric up before its first update"
                )
            measure = self._of_sums if self.stream else self._of_sets
            return measure() if self.is_of_sets else self._of_rows()
        except ValueError:
            if self._is_synced:  # torchmetrics leaves that out after an error
                self.unsync()
            raise

    def _of_rows(self) -> list[Score]:
        sums = zip(self.metric.tally([]), self._vectors("generated").sum(0).tolist(), strict=True)
        scores: list[Score] = self.metric.summarise(dict(sums))
        return scores

    def _of_sets(self) -> list[Score]:
        real, generated = (self._vectors(side).cpu() for side in SIDES)
        check_sides(len(real), len(generated), self.metric.min_clips)
        if self.metric.paired:
            ids = [self._ids(side)[0].unique() for side in SIDES]
            if not len(ids[0]) or not torch.equal(*ids):
                raise ValueError(
                    f"{self.name} compares clips with partners: give the same ids to both sides"
                )
        scores: list[Score] = self.metric.compare(real, generated)
        return scores

    def _of_sums(self) -> list[Score]:
        *axes, width = self._axes
        sides = []
        for side in SIDES:
            summed = self._ids(side)[1]
            if repeated := len(summed) - len(summed.unique()):
                raise ValueError(
                    f"{repeated} of the clips were given to several processes or merged twice, and "
                    "are in the sums: give each process its own clips, as DistributedSampler does "
                    "(which repeats only one on a process, its last), and reset() between epochs"
                )
            count, total, outer = self._sums(side).cpu().split([1, width, width**2])
            sides.append(Moments(count[0], total, outer.view(width, width)))
        real, generated = sides
        num_real, num_generated = (int(side.count) // math.prod(axes) for side in sides)
        check_sides(num_real, num_generated, self.metric.min_clips)
        found = frechet_of_moments(real, generated, self.metric.covariance)
        detail = {"raw": found.raw, "num_real": num_real, "num_generated": num_generated}
        return [Score(self.metric.scores[0], found.value, detail=detail)]


def _hashes(ids: Sequence[str]) -> Tensor:
    """Ids as numbers (n,): the first eight bytes of their SHA-256."""
    digests = (hashlib.sha256(clip.encode()).digest()[:8] for clip in ids)
    numbers = [int.from_bytes(digest, "big", signed=True) for digest in digests]
    return torch.tensor(numbers, dtype=torch.int64)


def _fresh(ids: Tensor, *known: Tensor) -> Tensor:
    """Places of ids (n,) that are not known, each id once, in the order of ids."""
    places = torch.from_numpy(np.unique(ids.cpu().numpy(), return_index=True)[1]).to(ids.device)
    return places[~torch.isin(ids[places], torch.cat([ids[:0], *known]))]
