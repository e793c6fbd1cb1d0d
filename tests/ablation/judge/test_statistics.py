"""Intervals, paired tests and Holm's correction: against scipy, closed forms and hand work."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from vidiff import schema
from vidiff.ablation.judge.statistics.comparison import FLIPS, Comparison, sign_flips, smallest_p
from vidiff.ablation.judge.statistics.contrasts import compare
from vidiff.ablation.judge.statistics.intervals import Observations, bootstrap, mean
from vidiff.ablation.judge.statistics.verdicts import holm, judge

NAN = float("nan")


def observed(values: np.ndarray) -> Observations:
    """(num_seeds, num_prompts) by seed."""
    return dict(enumerate(values))


def normal(*shape: int, seed: int = 0, centre: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, 1.0, shape)


def compared(differences: list[float], better: bool = True) -> Comparison:
    """Of one value a seed, whose differences are given."""
    cell = {seed: np.array([one]) for seed, one in enumerate(differences)}
    zero = {seed: np.zeros(1) for seed in cell}
    return compare(cell, zero, higher_is_better=better)


class TestMean:
    def test_is_students_over_seed_means(self) -> None:
        values = normal(4, 30)
        found = mean(observed(values))
        low, high = stats.ttest_1samp(values.mean(1), 0).confidence_interval(0.95)
        assert found.value == pytest.approx(values.mean())
        assert found.interval == pytest.approx((low, high))
        assert found.method == "Student's t over 4 seeds"
        assert (found.num_seeds, found.num_prompts) == (4, 30)

    def test_missing_values_do_not_count_and_seeds_weigh_the_same(self) -> None:
        values = {0: np.array([1.0, NAN, 3.0]), 1: np.array([NAN, NAN, 6.0]), 5: np.full(3, NAN)}
        found = mean(values)
        assert found.value == pytest.approx(4.0)  # of 2 and 6
        assert (found.num_seeds, found.num_prompts) == (2, 2)

    def test_one_seed_is_bootstrapped_over_prompts(self) -> None:
        values = np.random.default_rng(0).exponential(size=200)
        found = mean({3: values})
        reference = stats.bootstrap((values,), np.mean, method="BCa", rng=1).confidence_interval
        assert found.method == "bootstrap over 200 prompts, one seed"
        assert found.interval == pytest.approx((reference.low, reference.high), abs=0.01)
        # Skewed to the right: the interval reaches further that way than percentiles do.
        plain = stats.bootstrap((values,), np.mean, method="percentile", rng=1).confidence_interval
        assert found.interval[1] > plain.high + 0.002
        assert mean({3: values}) == found

    def test_intervals_of_shares_end_at_zero_and_one(self) -> None:
        values = {0: np.array([0.9]), 1: np.array([1.0])}
        assert mean(values).interval[1] > 1
        assert mean(values, limits=(0, 1)).interval[1] == 1.0

    def test_where_nothing_was_repeated_there_is_no_interval(self) -> None:
        assert mean({0: np.array([2.0])}).interval is None
        assert mean({0: np.ones(50)}).interval is None
        empty = mean({0: np.array([NAN])})
        assert math.isnan(empty.value)
        assert schema.plain(empty)["value"] is None

    def test_record_is_json(self) -> None:
        record = schema.plain(mean(observed(normal(3, 5))))
        assert json.loads(json.dumps(record, allow_nan=False)) == record


class TestBootstrap:
    def test_of_shares_is_near_wilsons(self) -> None:
        values = np.repeat([1.0, 0.0], [190, 10])
        low, high = stats.binomtest(190, 200).proportion_ci(method="wilson")
        assert bootstrap(values) == pytest.approx((low, high), abs=0.008)

    def test_moves_and_stretches_with_the_values(self) -> None:
        values = normal(100)
        low, high = bootstrap(values)
        assert bootstrap(3 * values + 7) == pytest.approx((3 * low + 7, 3 * high + 7))

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = bootstrap(normal(50))
        monkeypatch.setattr("vidiff.ablation.judge.statistics.intervals.AT_ONCE", 1_000)
        assert bootstrap(normal(50)) == pytest.approx(whole)


class TestSignFlips:
    @pytest.mark.parametrize("number", [2, 5, 10, 14])
    def test_few_are_exact_as_scipys(self, number: int) -> None:
        units = normal(number, centre=0.7)
        reference = stats.permutation_test(
            (units, np.zeros(number)),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=math.inf,
        )
        found = sign_flips(units)
        assert found.exact
        assert found.p == pytest.approx(reference.pvalue)

    def test_ties_that_rounding_hides_are_ties(self) -> None:
        # 0.1 + 0.2 - 0.3 is not 0 in floating point; by hand, all 8 sums are >= it in size.
        assert sign_flips(np.array([0.1, 0.2, -0.3])).p == 1.0
        assert sign_flips(np.array([0.1, 0.2, 0.3])).p == 2 / 8

    def test_zeros_change_nothing(self) -> None:
        units = normal(9, centre=0.5)
        assert sign_flips(np.append(units, np.zeros(500))) == sign_flips(units)
        assert sign_flips(np.zeros(40)).p == 1.0

    @pytest.mark.parametrize("centre", [0.0, 0.2, 0.4])
    def test_many_are_near_the_exact_p(self, centre: float) -> None:
        # Of ± 1 alone the sum is binomial, so p is known.
        signs = np.where(normal(60, centre=centre) > 0, 1.0, -1.0)
        exact = stats.binomtest(int((signs > 0).sum()), 60).pvalue
        found = sign_flips(signs)
        assert not found.exact
        assert found.p == pytest.approx(exact, abs=4 * math.sqrt(exact / FLIPS))

    def test_at_random_is_never_zero_and_always_the_same(self) -> None:
        assert sign_flips(np.ones(300)).p == 1 / (1 + FLIPS) == smallest_p(300)
        units = normal(300, centre=0.1)
        assert sign_flips(units) == sign_flips(units)
        assert sign_flips(units, seed=1).p == pytest.approx(sign_flips(units).p, abs=0.02)

    @pytest.mark.parametrize("number", range(1, 15))
    def test_smallest_p_is_that_of_units_that_agree(self, number: int) -> None:
        assert sign_flips(np.arange(1.0, number + 1)).p == smallest_p(number)

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        units = normal(64, centre=0.2)
        whole = sign_flips(units)
        monkeypatch.setattr("vidiff.ablation.judge.statistics.comparison.AT_ONCE", 640)
        assert sign_flips(units) == whole


class TestHolm:
    def test_by_hand(self) -> None:
        # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 -> 0.06 by the one before it.
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_unknown_ones_pass_and_do_not_count(self) -> None:
        found = holm([None, 0.02, NAN, 0.5])
        assert found[0] is None
        assert math.isnan(found[2] or 0)
        assert found[1::2] == pytest.approx([0.04, 0.5])
        assert holm([]) == []

    def test_stays_below_one_and_keeps_the_order(self) -> None:
        p = np.random.default_rng(0).uniform(size=40) ** 2
        found = np.array(holm(list(p)))
        assert (found <= 1).all()
        assert (found >= p).all()
        assert (np.diff(found[p.argsort()]) >= 0).all()
        assert found.min() == pytest.approx(40 * p.min())


class TestCompare:
    def test_interval_and_p_over_seeds_are_those_of_the_paired_t_test(self) -> None:
        ours, theirs = normal(5, 40, seed=1, centre=0.3), normal(5, 40, seed=2)
        found = compare(observed(ours), observed(theirs), higher_is_better=True)
        reference = stats.ttest_rel(ours.mean(1), theirs.mean(1))
        assert found.difference == pytest.approx((ours - theirs).mean())
        assert found.interval == pytest.approx(tuple(reference.confidence_interval(0.95)))
        assert found.p_seeds == pytest.approx(reference.pvalue)
        assert found.seed_differences == pytest.approx((ours - theirs).mean(1))
        assert (found.num_seeds, found.num_pairs, found.num_units) == (5, 200, 40)

    def test_p_flips_prompts_of_all_seeds_together(self) -> None:
        ours, theirs = normal(3, 10, seed=1, centre=0.5), normal(3, 10, seed=2)
        found = compare(observed(ours), observed(theirs), higher_is_better=True)
        reference = stats.permutation_test(
            (ours.mean(0), theirs.mean(0)),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            vectorized=True,
        )
        assert found.p == pytest.approx(reference.pvalue)
        assert found.p_method == "sign flips of prompts, all 1,024"

    def test_p_of_one_value_a_seed_flips_seeds(self) -> None:
        found = compared([0.3, 0.1, 0.2, -0.05])
        reference = stats.permutation_test(
            (np.array([0.3, 0.1, 0.2, -0.05]), np.zeros(4)),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            vectorized=True,
        )
        assert found.p == pytest.approx(reference.pvalue)
        assert (found.units, found.num_units) == ("seeds", 4)

    def test_only_what_both_sides_have_is_paired(self) -> None:
        ours, theirs = normal(4, 20, seed=1), normal(4, 20, seed=2)
        full = compare(observed(ours[:3]), observed(theirs[:3]), higher_is_better=True)
        # A seed that failed on one side, a seed whose figures are missing on the other.
        lost = {0: theirs[0], 1: theirs[1], 2: theirs[2], 9: theirs[3]}
        assert compare(observed(ours), lost, higher_is_better=True) == full
        missing = observed(np.where(np.arange(4)[:, None] == 3, NAN, ours))
        assert compare(missing, observed(theirs), higher_is_better=True) == full

    def test_missing_prompts_leave_their_pair_out(self) -> None:
        ours, theirs = normal(2, 6, seed=1), normal(2, 6, seed=2)
        ours[0, 2], theirs[1, 5] = NAN, math.inf
        found = compare(observed(ours), {0: theirs[0], 1: theirs[1, :5]}, higher_is_better=True)
        expected = [(ours - theirs)[0, [0, 1, 3, 4, 5]].mean(), (ours - theirs)[1, :5].mean()]
        assert found.seed_differences == pytest.approx(expected)
        assert found.difference == pytest.approx(np.mean(expected))
        assert found.num_pairs == 10

    def test_sides_and_directions_are_mirrored(self) -> None:
        ours, theirs = observed(normal(3, 30, seed=1, centre=1)), observed(normal(3, 30, seed=2))
        found = compare(ours, theirs, higher_is_better=True)
        swapped = compare(theirs, ours, higher_is_better=True)
        assert swapped.difference == -found.difference
        assert (found.verdict, swapped.verdict) == ("better", "worse")
        assert swapped.p == found.p
        assert compare(ours, theirs, higher_is_better=False).verdict == "worse"

    def test_same_input_gives_the_same(self) -> None:
        ours, theirs = observed(normal(3, 100, seed=1)), observed(normal(3, 100, seed=2))
        first, second = (compare(ours, theirs, higher_is_better=True) for _ in range(2))
        assert first == second

    def test_nothing_to_pair(self) -> None:
        for ours in ({}, {1: np.ones(3)}, {0: np.full(3, NAN)}):
            found = compare(ours, {0: np.zeros(3)}, higher_is_better=True)
            assert math.isnan(found.difference)
            assert (found.p, found.interval, found.verdict) == (None, None, "cannot tell")
            assert found.reason == "No seed has values in all cells that are compared."
            assert schema.plain(found)["difference"] is None

    def test_equal_values(self) -> None:
        values = observed(normal(3, 20))
        found = compare(values, values, higher_is_better=True)
        assert (found.difference, found.interval, found.p) == (0.0, (0.0, 0.0), 1.0)
        assert (found.verdict, found.further_seeds) == ("cannot tell", None)
        assert found.reason == "In every seed the difference is exactly zero."

    def test_the_same_difference_in_each_seed(self) -> None:
        found = compared([0.5] * 6)
        assert found.interval == (0.5, 0.5)
        assert (found.p_seeds, found.p) == (0.0, 2 / 2**6)
        assert found.verdict == "better"

    def test_record_is_json(self) -> None:
        sides = observed(normal(3, 9)), observed(normal(3, 9, seed=1))
        record = schema.plain(compare(*sides, higher_is_better=True))
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        assert {"difference", "interval", "p", "p_holm", "verdict", "reason"} <= set(record)


class TestVerdicts:
    def test_one_seed_never_tells(self) -> None:
        found = compare({0: np.ones(500)}, {0: np.zeros(500)}, higher_is_better=True)
        assert found.p < 0.001
        assert (found.verdict, found.further_seeds) == ("cannot tell", None)
        assert found.reason.startswith("There is one seed only")

    def test_seeds_have_to_agree(self) -> None:
        # Each model differs surely from its counterpart, the two trainings say opposite things.
        shift = np.array([[1.0], [-0.2], [0.9]])
        found = compare(
            observed(shift + 0.1 * normal(3, 200)), observed(np.zeros((3, 200))),
            higher_is_better=True,
        )  # fmt: skip
        assert found.p < 0.001
        assert found.verdict == "cannot tell"
        assert found.reason.startswith("The interval over 3 seeds includes zero, but the test over")
        assert f"about {found.further_seeds} further seeds would be needed" in found.reason

    def test_prompts_have_to_agree(self) -> None:
        # All seeds say the same of each prompt, but every prompt something else.
        found = compare(
            observed(np.tile(normal(20, centre=0.1), (3, 1)) + 1e-3 * normal(3, 20)),
            observed(np.zeros((3, 20))),
            higher_is_better=True,
        )
        assert found.p_seeds < 0.001
        assert found.p > 0.05
        assert (found.verdict, found.further_seeds) == ("cannot tell", None)
        assert "free of zero, but the test over 20 prompts gives p = " in found.reason
        assert found.reason.endswith("more prompts would help, rather than more seeds.")

    def test_few_seeds_of_whole_sets_say_what_they_could_at_best(self) -> None:
        found = compared([0.50, 0.51, 0.52])
        assert found.p == 0.25
        assert found.verdict == "cannot tell"
        assert "3 seeds can give p = 0.25 at best" in found.reason
        assert found.further_seeds == 3  # 2 / 2^6 is below 0.05
        assert "about 3 further seeds would be needed" in found.reason

    def test_few_prompts_say_what_they_could_at_best(self) -> None:
        found = compare(observed(normal(3, 3)), observed(np.zeros((3, 3))), higher_is_better=True)
        assert "3 prompts can give p = 0.25 at best" in found.reason
        assert found.further_seeds is None  # no seed mends that
        assert found.reason.endswith("more prompts would help, rather than more seeds.")

    def test_lower_may_be_better(self) -> None:
        assert compared([-0.5, -0.51, -0.52, -0.5, -0.49, -0.5], better=False).verdict == "better"

    def test_a_seed_that_dissents_asks_for_one_more_at_least(self) -> None:
        found = compared([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -0.05])
        assert found.p_seeds < 0.05
        assert found.p <= 0.05
        found = compared([1.0, 1.0, 1.0, 1.0, 1.0, -0.02])
        assert found.p_seeds < 0.05
        assert found.p > 0.05
        assert (found.verdict, found.further_seeds) == ("cannot tell", 1)
        assert "about 1 further seed would" in found.reason

    def test_hopeless_ones_say_so(self) -> None:
        found = compared([1.0, -1.0, 0.01])
        assert found.further_seeds is None
        assert "more than 1,000 further seeds would be needed" in found.reason

    def test_a_family_is_corrected(self) -> None:
        alone = compared([0.50, 0.51, 0.52, 0.50, 0.49, 0.50])
        assert (alone.p, alone.p_holm, alone.verdict) == (2 / 64, 2 / 64, "better")
        family = judge([alone, replace(alone, p=0.9), replace(alone, p=None)])
        assert [one.p_holm for one in family] == pytest.approx([4 / 64, 0.9, None])
        assert [one.verdict for one in family] == ["cannot tell"] * 3
        assert "p = 0.062 after Holm's correction for 2 comparisons" in family[0].reason
        assert "(6 seeds can give p = 0.031 at best before it)" in family[0].reason
        assert family[0].further_seeds == 1  # 2 x 2 / 2^7 is below 0.05
        assert judge([alone]) == [alone]

    def test_seeds_are_corrected_where_that_is_asked(self) -> None:
        found = compare(
            observed(np.array([[1.0], [1.5], [0.8]]) + 0.1 * normal(3, 200)),
            observed(np.zeros((3, 200))),
            higher_is_better=True,
        )
        assert 0.05 / 4 < found.p_seeds < 0.05
        assert {one.verdict for one in judge([found] * 4)} == {"better"}
        corrected = judge([found] * 4, correct_seeds=True)
        assert {one.verdict for one in corrected} == {"cannot tell"}
        assert corrected[0].further_seeds >= 1
        assert "though not after Holm's correction for 4 comparisons" in corrected[0].reason
