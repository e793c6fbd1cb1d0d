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


def dealt(num_batches: int, rank: int, world_size: int) -> list[int]:
    """Which batches a process takes: all take equally many, and some one that another has too.

    A process with fewer would not take part when a sharded model gathers its weights.
    """
    steps = range(-(-num_batches // world_size))
    return [(step * world_size + rank) % num_batches for step in steps]


class Permutation:
    """A random order of ``range(length)``, in memory that does not grow with it.

    A Feistel network (Luby & Rackoff 1988) permutes the numbers below a power of four; one that
    lands outside the range is sent on until it lands inside ("cycle walking", Black & Rogaway 2002,
    "Ciphers with Arbitrary Finite Domains"). The integers of ``key`` select the order.
    """

    _ROUNDS = 8

    def __init__(self, length: int, *key: int) -> None:
        self.length = length
        self._half = np.uint64(max(1, ((length - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = np.random.SeedSequence(key).generate_state(self._ROUNDS, np.uint64)

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """The numbers at ``positions``, each in [0, length): an array of any shape."""
        numbers = self._feistel(np.asarray(positions, dtype=np.uint64))
        while (outside := numbers >= self.length).any():
            numbers[outside] = self._feistel(numbers[outside])
        return numbers.astype(np.int64)

    def _feistel(self, numbers: np.ndarray) -> np.ndarray:
        left, right = numbers >> self._half, numbers & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return (left << self._half) | right


def _mix(numbers: np.ndarray) -> np.ndarray:
    # The finaliser of SplitMix64 (Steele, Lea & Flood 2014): each bit out depends on each bit in.
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
