"""Random orders of very long ranges."""

from __future__ import annotations

import numpy as np


class Permutation:
    """A random order of ``range(length)``, in memory that does not grow with it.

    A Feistel network (Luby & Rackoff 1988) permutes the numbers below a power of four; one that
    lands outside the range is sent on until it lands inside ("cycle walking", Black & Rogaway 2002,
    "Ciphers with Arbitrary Finite Domains").

    Args:
        length: how many numbers.
        key: integers that select the order.
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
