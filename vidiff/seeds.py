"""Seeds of clips and steps, each unrelated to the others."""

from __future__ import annotations

import numpy as np


def mix(*numbers: int) -> int:
    """Non-negative numbers to one seed of 63 bits, each well spread (NumPy's ``SeedSequence``)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def clip_seed(seed: int, index: int) -> int:
    """The seed of clip ``index`` of a set: unrelated to that of any other seed or index."""
    return mix(seed, index)
