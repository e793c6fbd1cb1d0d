"""Seeds of clips and steps, each unrelated to the others."""

from __future__ import annotations

import os

import numpy as np

_SPLITS = {"train": 0, "val": 1, "test": 2}


def mix(*numbers: int) -> int:
    """Non-negative numbers to one seed of 63 bits, each well spread (NumPy's ``SeedSequence``)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def global_seed() -> int:
    """The seed of the run, which Lightning's ``seed_everything`` leaves in the environment."""
    return int(os.environ.get("PL_GLOBAL_SEED", 0))


def clip_seed(seed: int, index: int) -> int:
    """The seed of clip ``index`` of a set: unrelated to that of any other seed or index."""
    return mix(seed, index)


def clip_generator(seed: int, split: str, index: int) -> np.random.Generator:
    """Random numbers for what a dataset draws of one clip of a split."""
    return np.random.default_rng([seed, _SPLITS[split], index])
