"""The order of the clips, which survives everything.

Training data is one endless stream of clips: epoch after epoch, each in an order of its own. The
clip at position ``p`` of the stream is a pure function of the seed and ``p``, and the batch ``k``
of ``R`` processes with ``B`` clips each is the stream's clips from ``k R B`` on, ``B`` for each
process in turn. So the number of clips used is all there is to save: a resumed run goes on with
the very next clip, in the middle of an epoch as well, and on more or fewer processes too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import Sampler

from vidiff.data.permutation import Permutation


@dataclass(eq=False)
class ClipStream(Sampler[list[int]]):
    """The training batches of one process, from ``position`` on, without end.

    Where clips may have several sizes, each step has one, the same in all processes, and every
    ``num_sizes`` steps have each once.
    """

    num_clips: int  # in one epoch
    batch_size: int  # of one process
    rank: int = 0
    world_size: int = 1
    seed: int = 0
    draws_anew: bool = False  # whether an index says the epoch too, see ``VideoDataset``
    num_sizes: int = 1
    position: int = 0  # clips that all processes together have used

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
        return replace(self, num_clips=num_clips, draws_anew=False, position=0)


@dataclass(eq=False)
class EvalBatches(Sampler[list[int]]):
    """The validation batches of one process: all clips once, in order, in batches of one size.

    Processes have equally many batches, or one that shards the model would wait for the others.
    The clips are dealt evenly, so that batch sizes differ by one at most. Where clips may have
    several sizes, batches have them in turn.
    """

    num_clips: int  # in the split
    batch_size: int  # the most clips in a batch
    rank: int = 0
    world_size: int = 1
    num_sizes: int = 1

    def __len__(self) -> int:
        return -(-self.num_clips // (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[list[int]]:
        num_batches = len(self) * self.world_size
        for batch in range(self.rank, num_batches, self.world_size):
            begin = batch * self.num_clips // num_batches
            end = (batch + 1) * self.num_clips // num_batches
            # Fewer clips than processes: some take one that another has, as none may be idle.
            size = batch // self.world_size % self.num_sizes
            yield [clip * self.num_sizes + size for clip in range(begin, max(end, begin + 1))]
