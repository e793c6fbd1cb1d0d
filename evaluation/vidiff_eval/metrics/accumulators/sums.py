"""Sums over clips, in memory that does not grow with their number."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from vidiff_eval.metrics.accumulators.base import Accumulator, fresh

STATES = ("sums", "ids", "last", "last_ids")


class SumAccumulator(Accumulator):
    """Sums up one vector of each clip; with ids, eight bytes more of each clip are kept.

    What is in a sum cannot be taken out again, so the clips of the last update that had ids stay
    apart until the next one: ``DistributedSampler`` repeats clips at the end, one a process at
    most, and whether another process has them too shows when the processes are joined.
    """

    def add_side(self, side: str = "") -> None:
        """Declare the states of a side."""
        for name in STATES:
            self.add_list(side + name)

    @abstractmethod
    def fold(self, vectors: Tensor) -> Tensor:
        """Vectors of clips (n, …) to their sum (k,); none have one too."""

    def choose(self, ids: Sequence[str] | None, count: int, side: str = "") -> Tensor:
        """Places of the clips, of ``count``, that this process has not seen yet."""
        if ids is None:
            return torch.arange(count, device=self.device)
        known = (self.read_list(side + name) for name in ("ids", "last_ids"))
        return fresh(self.hash(ids), *known)

    def add(self, vectors: Tensor, ids: Sequence[str] | None, side: str = "") -> None:
        """Take in vectors (n, …) of clips that this process has not seen yet."""
        flat = self.keep_shape(vectors)
        if ids is None:
            self._add_to_sum(flat, side)
            return
        self._add_to_sum(self.read_list(side + "last").view(-1, flat.shape[1]), side)
        seen = [self.read_list(side + "ids"), self.read_list(side + "last_ids")]
        setattr(self, side + "ids", [torch.cat(seen)])
        setattr(self, side + "last", [flat.flatten()])
        setattr(self, side + "last_ids", [self.hash(ids)])

    def _add_to_sum(self, flat: Tensor, side: str) -> None:
        if not len(flat):
            return
        news = self.fold(flat.view(-1, *self.axes()))
        olds = self.read_list(side + "sums").view(-1, len(news))
        setattr(self, side + "sums", [olds.sum(0) + news])

    def total(self, side: str = "") -> Tensor:
        """The sum (k,) over all clips.

        Raises:
            ValueError: if a clip with an id is in the sums of several processes.
        """
        ids, last_ids = (self.read_list(side + name) for name in ("ids", "last_ids"))
        repeated = len(ids) - len(ids.unique())
        if repeated:
            raise ValueError(
                f"{repeated} of the clips were given to several processes or merged twice, and "
                "not in their last update alone, so they are in the sums already: give each "
                "process clips of its own, as DistributedSampler does (which repeats just one on "
                "a process, its last), and reset() between epochs"
            )
        news = self.fold(self.read_vectors(side + "last")[fresh(last_ids, ids)])
        return self.read_list(side + "sums").view(-1, len(news)).sum(0) + news
