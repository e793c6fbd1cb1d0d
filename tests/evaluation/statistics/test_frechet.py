"""The Fréchet distance against closed forms and scipy's matrix root."""

import numpy as np
import pytest
import scipy.linalg
import torch

from vidiff_eval.statistics.extrapolation import extrapolate, leave_out_extrapolation
from vidiff_eval.statistics.frechet import Moments, frechet, frechet_of_moments
from vidiff_eval.statistics.frechet_left_out import leave_out_frechet
from vidiff_eval.statistics.resampling import interval, leave_out


def features(n, d, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixed * scale + shift


def moments_of_gaussian(mean, covariance, count=1000):
    """Sums from which exactly this Gaussian follows."""
    outer = covariance * (count - 1) + count * torch.outer(mean, mean)
    return Moments(torch.tensor(float(count), dtype=torch.float64), count * mean, outer)


def by_scipy(a, b, ddof=1):
    cov_a, cov_b = (np.cov(x.numpy(), rowvar=False, ddof=ddof) for x in (a, b))
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    difference = (a.mean(0) - b.mean(0)).square().sum().item()
    return difference + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root)


def test_gaussians_whose_distance_is_known():
    """Diagonal covariances: the sum of squared differences of means and of deviations."""
    one = torch.tensor([[0.0, 1.0, -2.0], [1.0, 2.0, 0.5]], dtype=torch.float64)
    other = torch.tensor([[3.0, 1.0, -1.0], [4.0, 0.0, 0.5]], dtype=torch.float64)
    sides = [moments_of_gaussian(mean, torch.diag(std.square())) for mean, std in (one, other)]
    assert frechet_of_moments(*sides).value == pytest.approx(9 + 1 + 9 + 4)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]  # turning both changes none
    turned = [
        moments_of_gaussian(turn @ mean, turn @ torch.diag(std.square()) @ turn.T)
        for mean, std in (one, other)
    ]
    assert frechet_of_moments(*turned).value == pytest.approx(23)


@pytest.mark.parametrize("n", [12, 300])
def test_equals_scipys_root(n):
    """Also with fewer features than dimensions, where covariances lack rank."""
    a, b = features(n, 30, 0), features(n + 7, 30, 1, scale=1.3, shift=0.2)
    assert frechet_of_moments(Moments.of(a), Moments.of(b)).value == pytest.approx(
        by_scipy(a, b), rel=1e-4
    )


def test_few_features_have_a_nuclear_norm():
    """Of rank n - 1: the trace is the nuclear norm of the centred features' products."""
    a, b = features(6, 40, 0), features(9, 40, 1, shift=1.0)
    x, y = ((f - f.mean(0)) / (len(f) - 1) ** 0.5 for f in (a, b))
    overlap = torch.linalg.svdvals(x @ y.T).sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + x.square().sum() + y.square().sum()
    found = frechet_of_moments(Moments.of(a), Moments.of(b))
    assert found.value == pytest.approx((expected - 2 * overlap).item(), rel=1e-9)


@pytest.mark.parametrize("n", [5, 200])
def test_equal_sets_have_no_distance(n):
    a = Moments.of(features(n, 50, 0, scale=30, shift=10))
    assert 0 <= frechet_of_moments(a, a).value < 1e-6


def test_sums_of_sums_are_sums():
    a = features(50, 8, 0)
    parts = [Moments.of(part) for part in a.split([1, 30, 19])]
    whole = Moments(*(sum(getattr(p, k) for p in parts) for k in ("count", "sum", "outer")))
    mean, covariance = whole.gaussian()
    torch.testing.assert_close(mean, a.mean(0))
    torch.testing.assert_close(covariance, torch.cov(a.T))


def test_no_feature_has_no_mean():
    with pytest.raises(ValueError, match="no feature"):
        Moments.of(torch.zeros(0, 3, dtype=torch.float64)).gaussian()


# --- from features ---------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["n-1", "n"])
@pytest.mark.parametrize("n", [45, 600])
def test_features_equal_scipys_root(n, covariance):
    """Where there are more features than dimensions, the root is exact enough to compare with."""
    a, b = features(n, 40, 0), features(n + 7, 40, 1, scale=1.3, shift=0.2)
    expected = by_scipy(a, b, ddof=1 if covariance == "n-1" else 0)
    assert frechet(a, b, covariance).value == pytest.approx(expected, rel=1e-6)
    sums = frechet_of_moments(Moments.of(a), Moments.of(b), covariance)
    assert sums.value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(6, 9), (2, 300), (300, 6), (40, 40), (41, 41), (3000, 2500)])
def test_features_and_sums_agree(n, m):
    """Three ways to the overlap: singular values, eigenvalues, roots; in chunks and as a whole."""
    a, b = features(n, 40, 0, shift=2), features(m, 40, 1, scale=0.7)
    sums = frechet_of_moments(Moments.of(a), Moments.of(b)).value
    assert frechet(a, b).value == pytest.approx(sums, rel=1e-6)
    assert frechet(b, a).value == pytest.approx(sums, rel=1e-6)


@pytest.mark.parametrize("d", [30, 256, 300])
def test_spectra_that_fall_steeply_are_exact(d):
    """Near to singular, where roots of eigenvalues lose digits; also in more than one block.

    Features of exactly diagonal covariance, both turned alike, have a distance that is known.
    """
    deviations = torch.logspace(0, -7, d, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))[0]
    noise = torch.randn(2 * d, d, dtype=torch.float64)
    white = torch.linalg.qr(noise - noise.mean(0))[0] * (2 * d - 1) ** 0.5
    a, b = white * deviations @ turn, white * deviations.sqrt() @ turn + 1
    expected = d + (deviations - deviations.sqrt()).square().sum().item()
    assert frechet(a, b).value == pytest.approx(expected, rel=1e-9)


def test_float32_features_are_summed_in_float64():
    """Far from zero, sums in float32 would lose all digits of the covariance."""
    a, b = (features(500, 6, seed, shift=3000.0).float() for seed in (0, 1))
    assert frechet(a, b).value == pytest.approx(by_scipy(a.double(), b.double()), rel=1e-6)


def test_rounding_below_zero_is_kept_beside_the_value():
    sets = (features(n, 30, n, scale=40) for n in range(10, 60))
    found = [frechet(a, a.flip(0)) for a in sets]
    assert all(0 <= one.value < 1e-6 and abs(one.raw) < 1e-6 for one in found)
    assert any(one.raw < 0 == one.value for one in found)


@pytest.mark.parametrize(("n", "m", "words"), [
    (0, 5, "real side .* is no clip"), (5, 0, "generated side .* is no clip"),
    (1, 5, "real side .* is one clip"), (5, 1, "generated side .* is one clip"),
])  # fmt: skip
def test_one_feature_and_none_are_errors_that_say_which_side(n, m, words):
    a, b = features(n, 4, 0), features(m, 4, 1)
    with pytest.raises(ValueError, match=words):
        frechet(a, b)
    with pytest.raises(ValueError, match=words):
        frechet_of_moments(Moments.of(a), Moments.of(b))


@pytest.mark.parametrize(("n", "expected"), [(64, 549), (399, 204), (2048, 39)])
def test_equal_distributions_are_apart_by_what_was_measured(n, expected):
    """400 dimensions of unit variance: the bias that makes scores of different n differ."""
    generator = torch.Generator().manual_seed(n)
    a, b = (torch.randn(n, 400, generator=generator) for _ in range(2))
    assert frechet(a, b).value == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("covariance", ["n-1", "n"])
@pytest.mark.parametrize(("n", "m", "d"), [(100, 60, 16), (9, 12, 16), (16, 17, 16), (60, 9, 16)])
@pytest.mark.parametrize("frames", [None, 3])
def test_distances_without_groups_are_those_taken_again(n, m, d, frames, covariance):
    generator = torch.Generator().manual_seed(0)
    inner = () if frames is None else (frames,)
    a = torch.randn(n, *inner, d, generator=generator)
    b = torch.randn(m, *inner, d, generator=generator) * 1.3 + 0.2

    def again(one, other):
        return frechet(one.reshape(-1, d), other.reshape(-1, d), covariance).value

    found, expected = leave_out_frechet(a, b, covariance), leave_out(again, a, b)
    torch.testing.assert_close(found.real, expected.real, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.generated, expected.generated, rtol=1e-6, atol=1e-6)


# --- infinitely many clips -------------------------------------------------------------------


def raw(a, b):
    return frechet(a, b).raw


def test_the_line_meets_infinity():
    """A distance that is exactly a + b/n + c/m has the limit a."""
    found = extrapolate(
        lambda x, y: 3 + 5 / len(x) + 7 / len(y), torch.zeros(64, 1), torch.ones(40, 1)
    )
    assert found == pytest.approx(3)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.5, 0.3)])
def test_limit_is_that_of_the_distributions(scale, shift):
    """Of Gaussians whose distance is known: 0, or d (shift² + (scale - 1)²)."""
    d, truth = 12, 12 * (shift**2 + (scale - 1) ** 2)
    limits, plain, covered = [], [], 0
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        a, b = (torch.randn(160, d, generator=generator) for _ in range(2))
        b = b * scale + shift
        limits.append(extrapolate(raw, a, b))
        plain.append(raw(a, b))
        low, high = interval(limits[-1], leave_out_extrapolation(raw, a, b))
        covered += low <= truth <= high
    bias = sum(plain) / len(plain) - truth
    assert bias > 0.3
    assert abs(sum(limits) / len(limits) - truth) < 0.25 * bias
    assert covered >= 26
