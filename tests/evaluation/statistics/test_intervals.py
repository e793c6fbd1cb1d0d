"""Intervals cover what they say: shares, means, and distances between sets, by simulation."""

import math

import pytest
import torch
from scipy import stats

from vidiff_eval.statistics.frechet import frechet
from vidiff_eval.statistics.frechet_left_out import leave_out_frechet
from vidiff_eval.statistics.intervals import means, tally
from vidiff_eval.statistics.kernel import kernel_distance, leave_out_kernel
from vidiff_eval.statistics.resampling import LeftOut, group, interval, leave_out

# --- means and shares ------------------------------------------------------------------------


def test_means_have_students_interval():
    values = [1.0, 2.5, 4.0, 3.5, -1.0]
    [score] = means(tally([{"score": v} for v in values], ["score"]), ["score"])
    assert score.value == pytest.approx(2.0)
    expected = stats.t.interval(0.95, 4, loc=2.0, scale=stats.sem(values))
    assert score.interval == pytest.approx(expected)
    assert score.detail["num_clips"] == 5


def test_sums_of_parts_give_the_same_means():
    rows = [{"a": i / 7, "b": i % 3 == 0, "c": None if i % 4 else float(i)} for i in range(23)]
    names = ["a", "b", "c"]
    parts = [tally(rows[:9], names), tally(rows[9:], names), tally([], names)]
    added = {key: sum(part[key] for part in parts) for key in parts[0]}
    for one, other in zip(means(added, names), means(tally(rows, names), names), strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert one.interval == pytest.approx(other.interval, rel=1e-9)


def test_shares_have_wilsons_interval():
    rows = [{"right": True}] * 8 + [{"right": False}] * 2
    [score] = means(tally(rows, ["right"]), ["right"])
    expected = stats.binomtest(8, 10).proportion_ci(0.95, method="wilson")
    assert score.value == pytest.approx(0.8)
    assert score.interval == pytest.approx((expected.low, expected.high))
    numbers = [{"right": float(row["right"])} for row in rows]  # a mean that happens to be of 0, 1
    assert means(tally(numbers, ["right"]), ["right"])[0].interval[1] > 1


def test_missing_values_do_not_count():
    rows = [{"x": 1.0}, {"x": None}, {"x": math.nan}, {"x": 3.0}]
    [score] = means(tally(rows, ["x"]), ["x"])
    assert (score.value, score.detail["num_clips"]) == (2.0, 2)
    [nothing] = means(tally(rows[1:3], ["x"]), ["x"])
    assert math.isnan(nothing.value)
    assert not nothing.is_known


def test_one_clip_has_no_interval_and_none_is_an_error():
    assert means(tally([{"x": 1.0}], ["x"]), ["x"])[0].interval is None
    with pytest.raises(ValueError, match="no clip"):
        means(tally([], ["x"]), ["x"])


# --- the jackknife ---------------------------------------------------------------------------


def test_groups_are_of_equal_size():
    assert (
        group(100, 24).bincount().tolist().count(4) + group(100, 24).bincount().tolist().count(5)
        == 24
    )
    assert sorted(group(7).tolist()) == list(range(7))
    assert group(100).tolist() != sorted(group(100).tolist())


def test_jackknife_of_a_difference_of_means_is_welchs():
    """Leaving out single values, the jackknife's variance of a mean is exactly the usual one."""
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(20, generator=generator).double(),
        2 * torch.randn(11, generator=generator).double(),
    )
    left_out = leave_out(lambda x, y: (y.mean() - x.mean()).item(), a, b)
    found = interval((b.mean() - a.mean()).item(), left_out)
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert found == pytest.approx((expected.low, expected.high), rel=1e-6)
    assert left_out.method == "jackknife over 20 and 11 groups of clips"


def test_intervals_at_the_edge():
    some = LeftOut(torch.tensor([1.0, 1.2]), torch.tensor([0.9, 1.1]))
    low, high = interval(1.0, some, "log")
    assert 0 < low < 1 < high
    assert interval(0.0, some, "log")[0] == 0  # equal sets: no logarithm, cut at zero
    assert interval(0.95, some, bounds=(0, 1))[1] == 1
    assert interval(1.0, None) is None
    assert interval(math.nan, some) is None
    assert leave_out(lambda x, y: 0.0, torch.zeros(3), torch.zeros(9)) is None
    same = LeftOut(torch.ones(4), torch.ones(4))
    assert interval(1.0, same) == (1.0, 1.0)


# --- coverage, by simulation -----------------------------------------------------------------


def draw(case, num_clips, width, generator):
    """Features of one side; ``heavy`` has a scale a clip, as Student's t with 8 degrees has."""
    noise = torch.randn(num_clips, width, generator=generator, dtype=torch.float64)
    if case == "heavy":
        scale = torch.randn(num_clips, 8, generator=generator).square().mean(1, keepdim=True)
        noise = noise / scale.sqrt()
    return noise * torch.arange(1, width + 1) ** -0.5


def sides(case, n, m, width, generator):
    real, generated = (draw(case, size, width, generator) for size in (n, m))
    return real, generated if case == "same" else 1.3 * generated + 0.3


def frechet_interval(real, generated):
    value = frechet(real, generated).value
    return value, interval(value, leave_out_frechet(real, generated), "log")


def kernel_interval(real, generated):
    value, left_out = leave_out_kernel(real, generated)
    return value, interval(value, left_out)


def coverage(distance, with_interval, case, n, m, width, repeats, seed=0):
    """The share of intervals that hold the distance's expectation at this number of clips."""
    generator = torch.Generator().manual_seed(seed)
    more = 3 * repeats
    truth = sum(distance(*sides(case, n, m, width, generator)) for _ in range(more)) / more
    found = [with_interval(*sides(case, n, m, width, generator)) for _ in range(repeats)]
    assert all(low <= value <= high for value, (low, high) in found)
    return sum(low <= truth <= high for _, (low, high) in found) / repeats


CASES = [
    ("same", 64, 64, 8), ("shifted", 64, 64, 8), ("shifted", 128, 40, 16), ("heavy", 128, 128, 8),
    ("shifted", 16, 16, 32), ("same", 24, 16, 32),
]  # fmt: skip
"""The last two with fewer clips than dimensions."""


def frechet_value(real, generated):
    return frechet(real, generated).value


@pytest.mark.parametrize(("case", "n", "m", "width"), CASES)
def test_frechet_intervals_cover(case, n, m, width):
    found = coverage(frechet_value, frechet_interval, case, n, m, width, repeats=200)
    assert found >= 0.9
    assert found <= (1 if case == "same" or n < width else 0.995)


@pytest.mark.parametrize(("case", "n", "m", "width"), CASES)
def test_kernel_intervals_cover(case, n, m, width):
    assert coverage(kernel_distance, kernel_interval, case, n, m, width, repeats=200) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("case", "n", "m", "width"), [*CASES, ("shifted", 256, 256, 16)])
@pytest.mark.parametrize("distance", ["frechet", "kernel"])
def test_intervals_cover_in_many_draws(distance, case, n, m, width):
    pair = (
        (frechet_value, frechet_interval)
        if distance == "frechet"
        else (kernel_distance, kernel_interval)
    )
    found = coverage(*pair, case, n, m, width, repeats=2000, seed=1)
    assert found >= 0.9
    if case == "shifted" and n > width:
        assert found <= 0.985


def test_the_naive_bootstrap_would_exclude_the_estimate():
    """Drawn with replacement, covariances lose rank: all replicates lie above the point."""
    generator = torch.Generator().manual_seed(0)
    real, generated = (torch.randn(512, 64, generator=generator) for _ in range(2))
    value, (low, high) = frechet_interval(real, generated)
    replicates = []
    for _ in range(40):
        rows = [torch.randint(512, (512,), generator=generator) for _ in range(2)]
        replicates.append(frechet(real[rows[0]], generated[rows[1]]).value)
    assert value == pytest.approx(4.28, rel=0.1)
    assert min(replicates) > 1.5 * value
    assert low < value < high < min(replicates)


def test_intervals_end_where_scores_do():
    rows = [{"share": 0.1, "level": 2.0}, {"share": 0.9, "level": 200.0}]
    sums = tally(rows, ["share", "level"])
    for free, bound, end in zip(
        means(sums, ["share", "level"]),
        means(sums, ["share", "level"], [(0.0, 1.0), (0.0, 255.0)]),
        ((0.0, 1.0), (0.0, 255.0)),
        strict=True,
    ):
        assert free.value == bound.value
        assert free.interval[0] < end[0]
        assert free.interval[1] > end[1]
        assert bound.interval == end
