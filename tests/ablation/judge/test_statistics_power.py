"""How many seeds to add, against looking for it one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vidiff.ablation.judge.statistics.comparison import of_differences
from vidiff.ablation.judge.statistics.verdicts import further_seeds, judge, min_seeds, seeds_needed


def searched(differences: list[float], num_comparisons: int, per_seed: bool) -> int | None:
    """By trying one after another, with scipy's t."""
    mean, deviation = abs(np.mean(differences)), np.std(differences, ddof=1)
    for further in range(1_001):
        n = len(differences) + further
        clear = stats.t.ppf(0.975, n - 1) * deviation / np.sqrt(n) < mean
        if clear and (not per_seed or num_comparisons * 2 / 2**n <= 0.05):
            return further
    return None


@pytest.mark.parametrize("per_seed", [True, False])
@pytest.mark.parametrize("num_comparisons", [1, 4, 100])
def test_is_what_a_search_finds(num_comparisons: int, per_seed: bool) -> None:
    generator = np.random.default_rng(0)
    answers = set()
    for number in (2, 3, 5, 12):
        for centre in (0.0, 0.05, 0.3, 1.0, 4.0):
            differences = list(generator.normal(centre, 1.0, number))
            expected = searched(differences, num_comparisons, per_seed)
            found = further_seeds(differences, num_comparisons, per_seed_test=per_seed)
            assert found == expected
            answers.add(found)
    assert None in answers
    assert len(answers) > 6


def test_with_that_many_the_interval_is_free_of_zero() -> None:
    """Seeds of the same mean and spread: the answer does, and one fewer does not."""
    differences = [0.5, 1.0, -0.1]
    further = further_seeds(differences, per_seed_test=False)
    assert further

    def lower_end(n: int) -> float:
        values = np.linspace(-1, 1, n)
        values = np.mean(differences) + values * np.std(differences, ddof=1) / values.std(ddof=1)
        return float(stats.ttest_1samp(values, 0).confidence_interval(0.95).low)

    assert lower_end(3 + further - 1) <= 0 < lower_end(3 + further)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([], None),  # nothing is known
        ([0.5], None),  # the spread is not
        ([0.0, 0.0], None),  # no number of zeros makes a difference
        ([0.3, 0.3, 0.3], 0),
    ],
)
def test_edges(differences: list[float], expected: int | None) -> None:
    assert further_seeds(differences, per_seed_test=False) == expected


def test_equal_differences_wait_for_the_test_over_seeds() -> None:
    assert further_seeds([0.3, 0.3, 0.3], per_seed_test=True) == 3
    assert further_seeds([0.3, 0.3, 0.3], 4, per_seed_test=True) == 5


def test_a_stricter_level_asks_for_more() -> None:
    differences = [1.0, 1.5, 0.8]
    assert further_seeds(differences, per_seed_test=False) == 0
    assert further_seeds(differences, per_seed_test=False, level=0.05 / 4) > 0


@pytest.mark.parametrize(
    ("num_comparisons", "num_units", "expected"),
    [(1, None, 6), (3, None, 7), (4, None, 8), (1, 6, 2), (1, 5, None), (3, 6, None), (3, 7, 2)],
)
def test_with_fewer_seeds_no_verdict_is_possible(
    num_comparisons: int, num_units: int | None, expected: int | None
) -> None:
    """Whatever the data: differences that leave no doubt are a verdict from there on."""
    assert min_seeds(num_comparisons, num_units) == expected

    def verdicts(num_seeds: int) -> set[str]:
        sure = 1 + np.random.default_rng(0).normal(0, 1e-9, (num_seeds, num_units or 1))
        found = [of_differences(sure, higher_is_better=True)] * num_comparisons
        return {one.verdict for one in judge(found, correct_seeds=True)}

    if expected is None:
        assert verdicts(50) == {"cannot tell"}
    else:
        assert verdicts(expected - 1) == {"cannot tell"}
        assert verdicts(expected) == {"better"}


def test_the_sentence_names_what_is_needed_and_what_is_there() -> None:
    assert seeds_needed("fvd", 8, 1, None) == (
        "A verdict by fvd needs at least 6 seeds, as its test is over seeds, for 1 comparison."
    )
    assert seeds_needed("fvd", 3, 3, None).endswith("for 3 comparisons; there are 3: add seeds.")
    assert seeds_needed("psnr", 3, 3, 96) == "A verdict by psnr needs at least 2 seeds."
    assert seeds_needed("psnr", 1, 3, 96).endswith("2 seeds; there is 1: add seeds.")
    assert "cannot give p below 0.05 for 3 comparisons. Add" in seeds_needed("psnr", 3, 3, 5)
    assert "No verdict by fvd is possible" in seeds_needed("fvd", 3, 10_000, None)
