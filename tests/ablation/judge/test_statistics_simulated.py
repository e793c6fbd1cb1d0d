"""What is promised of many ablations, in simulated ones: intervals cover, verdicts seldom err."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from vidiff.ablation.judge.statistics.comparison import Comparison
from vidiff.ablation.judge.statistics.contrasts import compare
from vidiff.ablation.judge.statistics.intervals import Observations, mean
from vidiff.ablation.judge.statistics.verdicts import judge


@dataclass
class World:
    """Standard deviations of what makes values differ.

    Attributes:
        seed: of trainings, for a cell and seed.
        prompt: of prompts' difficulty, the same for all cells and seeds.
        suits: of how much a prompt suits a cell, the same for all seeds.
        noise: of all else.
    """

    seed: float = 0.0
    prompt: float = 0.0
    suits: float = 0.0
    noise: float = 1.0

    def cells(
        self, generator: np.random.Generator, number: int, num_seeds: int, num_prompts: int
    ) -> list[Observations]:
        """Cells that are equal but for chance, of one experiment."""
        draw = generator.normal
        prompts = self.prompt * draw(size=num_prompts)
        found = []
        for _ in range(number):
            values = self.seed * draw(size=(num_seeds, 1)) + self.suits * draw(size=num_prompts)
            values = values + prompts + self.noise * draw(size=(num_seeds, num_prompts))
            found.append(dict(enumerate(values)))
        return found


def families(world: World, number: int, num_seeds: int, times: int) -> list[list[Comparison]]:
    """Comparisons of equal cells with one baseline, of many experiments; 12 prompts are exact."""
    generator, found = np.random.default_rng(0), []
    for _ in range(times):
        baseline, *others = world.cells(generator, number + 1, num_seeds, 12)
        found.append([compare(one, baseline, higher_is_better=True) for one in others])
    return found


def wrong(verdicts: list[bool]) -> float:
    return float(np.mean(verdicts))


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(seed=0.5, prompt=2.0),
        World(seed=2.0, prompt=2.0),
        World(suits=1.0, prompt=2.0),
        # Seeds agree on every prompt: 3 of them are no more witnesses than one.
        World(suits=1.0, noise=0.3),
        World(seed=0.3, suits=0.5, prompt=2.0),
    ],
    ids=str,
)
def test_equal_cells_are_seldom_told_apart(world: World) -> None:
    found = [one for (one,) in families(world, 1, num_seeds=3, times=1_500)]
    # 5 %, and three standard errors of 1,500 experiments.
    assert wrong([one.verdict != "cannot tell" for one in found]) <= 0.05 + 0.017


def test_permutation_alone_would_mistake_trainings_for_methods() -> None:
    """Why the interval over seeds has its say: the models do differ, the methods do not."""
    found = [one for (one,) in families(World(seed=2.0), 1, num_seeds=3, times=300)]
    assert wrong([one.p < 0.05 for one in found]) > 0.5


def test_interval_alone_would_mistake_prompts_for_methods() -> None:
    found = [one for (one,) in families(World(suits=1.0, noise=0.3), 1, num_seeds=3, times=300)]
    assert wrong([one.p_seeds < 0.05 for one in found]) > 0.3


def test_a_family_errs_as_the_docstring_says() -> None:
    """Four comparisons where trainings differ much: 17 %, and 5 % with seeds corrected too."""
    found = families(World(seed=3.0), 4, num_seeds=3, times=600)
    told = {
        correct: wrong(
            [
                any(c.verdict != "cannot tell" for c in judge(f, correct_seeds=correct))
                for f in found
            ]
        )
        for correct in (False, True)
    }
    assert told[False] == pytest.approx(0.165, abs=0.05)
    assert told[True] <= 0.05 + 0.027


def test_a_family_over_prompts_keeps_its_level() -> None:
    """Where chance among prompts is what there is, Holm's correction does it all."""
    found = families(World(suits=1.0, noise=0.3), 4, num_seeds=3, times=600)
    judged = [any(c.verdict != "cannot tell" for c in judge(family)) for family in found]
    assert wrong(judged) <= 0.05 + 0.027


def test_true_differences_are_found() -> None:
    generator = np.random.default_rng(0)
    world, found = World(seed=0.1, prompt=2.0, noise=0.5), []
    for _ in range(200):
        ours, theirs = world.cells(generator, 2, 4, 64)
        ours = {seed: values + 0.5 for seed, values in ours.items()}
        found.append(compare(ours, theirs, higher_is_better=True).verdict)
    assert found.count("better") > 180
    assert "worse" not in found


@pytest.mark.parametrize("num_seeds", [2, 3, 6])
def test_intervals_over_seeds_cover_the_method(num_seeds: int) -> None:
    """On the prompts at hand, whose mean is not zero, over trainings to come."""
    generator = np.random.default_rng(0)
    prompts, covered = generator.normal(size=10), []
    for _ in range(2_000):
        seeds = generator.normal(size=(num_seeds, 1))
        values = prompts + seeds + generator.normal(size=(num_seeds, 10))
        low, high = mean(dict(enumerate(values))).interval
        covered.append(low <= prompts.mean() <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("share", [False, True])
def test_intervals_over_prompts_cover_the_model(share: bool) -> None:
    """Of one seed, over other prompts: skewed values, and shares of one in ten."""
    generator, covered = np.random.default_rng(0), []
    for _ in range(250):
        values = generator.exponential(size=100)
        if share:
            values = (generator.uniform(size=100) < 0.1).astype(float)
        low, high = mean({0: values}).interval
        covered.append(low <= (0.1 if share else 1.0) <= high)
    assert 0.90 <= np.mean(covered) <= 0.99


@pytest.mark.slow
def test_fifty_comparisons_of_a_thousand_prompts_are_few_calls_and_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is one permutation test, of flips by the thousand: 2^21 signs at once."""
    blocks, unpack = [], np.unpackbits

    def count(packed: np.ndarray, **options: Any) -> np.ndarray:
        blocks.append(len(packed))
        return unpack(packed, **options)

    monkeypatch.setattr(np, "unpackbits", count)
    baseline, *others = World().cells(np.random.default_rng(0), 51, 3, 1_000)
    judge([compare(one, baseline, higher_is_better=True) for one in others])
    assert sum(blocks) == 50 * 10_000
    assert len(blocks) == 50 * 5
    monkeypatch.undo()
    tracemalloc.start()
    compare(others[0], baseline, higher_is_better=True)
    assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    tracemalloc.stop()
