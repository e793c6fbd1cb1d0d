"""The Fréchet distance against closed forms and scipy's matrix root."""

import numpy as np
import pytest
import scipy.linalg
import torch

from vidiff_eval.frechet import Moments, frechet_distance


def features(n, d, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixed * scale + shift


def moments_of_gaussian(mean, covariance, count=1000):
    """Sums from which exactly this Gaussian follows."""
    outer = covariance * (count - 1) + count * torch.outer(mean, mean)
    return Moments(torch.tensor(float(count), dtype=torch.float64), count * mean, outer)


def by_scipy(a, b):
    cov_a, cov_b = (np.cov(x.numpy(), rowvar=False) for x in (a, b))
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    difference = (a.mean(0) - b.mean(0)).square().sum().item()
    return difference + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root)


def test_gaussians_whose_distance_is_known():
    """Diagonal covariances: the sum of squared differences of means and of deviations."""
    one = torch.tensor([[0.0, 1.0, -2.0], [1.0, 2.0, 0.5]], dtype=torch.float64)
    other = torch.tensor([[3.0, 1.0, -1.0], [4.0, 0.0, 0.5]], dtype=torch.float64)
    sides = [moments_of_gaussian(mean, torch.diag(std.square())) for mean, std in (one, other)]
    assert frechet_distance(*sides).item() == pytest.approx(9 + 1 + 9 + 4)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]  # turning both changes none
    turned = [
        moments_of_gaussian(turn @ mean, turn @ torch.diag(std.square()) @ turn.T)
        for mean, std in (one, other)
    ]
    assert frechet_distance(*turned).item() == pytest.approx(23)


@pytest.mark.parametrize("n", [12, 300])
def test_equals_scipys_root(n):
    """Also with fewer features than dimensions, where covariances lack rank."""
    a, b = features(n, 30, 0), features(n + 7, 30, 1, scale=1.3, shift=0.2)
    assert frechet_distance(Moments.of(a), Moments.of(b)).item() == pytest.approx(
        by_scipy(a, b), rel=1e-4
    )


def test_few_features_have_a_nuclear_norm():
    """Of rank n - 1: the trace is the nuclear norm of the centred features' products."""
    a, b = features(6, 40, 0), features(9, 40, 1, shift=1.0)
    x, y = ((f - f.mean(0)) / (len(f) - 1) ** 0.5 for f in (a, b))
    overlap = torch.linalg.svdvals(x @ y.T).sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + x.square().sum() + y.square().sum()
    found = frechet_distance(Moments.of(a), Moments.of(b))
    assert found.item() == pytest.approx((expected - 2 * overlap).item(), rel=1e-9)


@pytest.mark.parametrize("n", [5, 200])
def test_equal_sets_have_no_distance(n):
    a = Moments.of(features(n, 50, 0, scale=30, shift=10))
    assert 0 <= frechet_distance(a, a).item() < 1e-6


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
