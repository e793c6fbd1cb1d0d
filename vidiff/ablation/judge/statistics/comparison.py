"""What paired differences say, by two questions.

- *Would other prompts say the same?* A permutation test: the signs of whole prompts are flipped, of
  all seeds together. Prompts and noise are the same in every seed, so a prompt that suits a cell
  suits it in each of them; flipping each pair of seed and prompt by itself would take that for
  agreement of independent witnesses. It speaks of the models that were trained, no others.
- *Would other seeds say the same?* Student's interval over the seeds' mean differences. It speaks
  of the method, on these prompts.

A metric of whole sets has one value a seed, and both are then over seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vidiff.ablation.judge.statistics.intervals import Interval, student, student_p
from vidiff.ablation.judge.statistics.observations import seed_means
from vidiff.ablation.judge.statistics.permutation import sign_flips

Verdict = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True)
class Comparison:
    """A difference in one metric, and what it says.

    Attributes:
        difference: mean over seeds of the seeds' mean differences, cell less baseline; NaN where
            nothing can be paired.
        interval: around it, over seeds; None for fewer than two.
        method: of the interval, in words.
        p: of the permutation test, two-sided; None where nothing can be paired.
        p_method: of the test, in words.
        p_seeds: of Student's t over seeds, two-sided; None for fewer than two.
        num_seeds: that both sides have.
        num_pairs: of seed and prompt that both sides have.
        num_units: whose signs the test flips: ``units``.
        seed_differences: the mean difference of each seed, (num_seeds,).
        p_holm: p after Holm's correction over the family that was judged together.
        further_seeds: needed to tell, if mean and spread stay what they are; 0 where a verdict is
            found, None where no number of seeds is known to be enough.
        reason: of the verdict, a sentence for people.
    """

    difference: float
    interval: Interval | None
    method: str
    p: float | None
    p_method: str
    p_seeds: float | None
    num_seeds: int
    num_pairs: int
    num_units: int
    units: Literal["prompts", "seeds"]
    seed_differences: tuple[float, ...]
    higher_is_better: bool
    p_holm: float | None = None
    further_seeds: int | None = None
    verdict: Verdict = "cannot tell"
    reason: str = "Not judged yet."


def of_differences(differences: np.ndarray, *, higher_is_better: bool, seed: int = 0) -> Comparison:
    """The comparison of paired differences (num_seeds, num_prompts), not yet judged.

    They are NaN where a side has no value; ``seed`` is that of the permutation test.
    """
    seen = np.isfinite(differences)
    seen, differences = seen[seen.any(axis=1)], differences[seen.any(axis=1)]
    means = seed_means(differences)
    num_seeds, num_prompts = len(means), int(seen.any(axis=0).sum())
    per_prompt = num_prompts > 1
    interval, p_seeds, method = None, None, "no interval of fewer than two seeds"
    if num_seeds > 1:
        interval, p_seeds = student(means), student_p(means)
        method = f"Student's t over {num_seeds} seeds"
    p, p_method = None, "nothing to pair"
    if num_seeds:
        # What each pair adds to the difference: seeds weigh the same, whatever they lack.
        shares = np.where(seen, differences, 0.0) / (num_seeds * seen.sum(axis=1, keepdims=True))
        flips = sign_flips(shares.sum(axis=0 if per_prompt else 1), seed)
        tried = f"all {flips.num_flips:,}" if flips.exact else f"{flips.num_flips:,} at random"
        p = flips.p
        p_method = f"sign flips of {'prompts' if per_prompt else 'seeds'}, {tried}"
    return Comparison(
        difference=float(means.mean()) if num_seeds else math.nan,
        interval=interval,
        method=method,
        p=p,
        p_method=p_method,
        p_seeds=p_seeds,
        num_seeds=num_seeds,
        num_pairs=int(seen.sum()),
        num_units=num_prompts if per_prompt else num_seeds,
        units="prompts" if per_prompt else "seeds",
        seed_differences=tuple(float(one) for one in means),
        higher_is_better=higher_is_better,
    )
