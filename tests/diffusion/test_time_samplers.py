"""Time samplers against their distributions."""

import math

import pytest
import torch
from scipy import stats

from vidiff.diffusion.time_samplers import LogitNormal, Uniform, shifted
from vidiff.registry import get_component, list_components

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", list_components("time_sampler"))
@pytest.mark.parametrize("stratified", [True, False])
@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_draws_follow_the_shifted_quantile(name, stratified, shift):
    torch.manual_seed(0)
    sampler = get_component("time_sampler", name).cls(shift=shift, stratified=stratified)
    t = sampler(20_000, CPU)
    assert t.shape == (20_000,)
    assert 0 <= t.min() <= t.max() <= 1
    u = torch.linspace(0.05, 0.95, 19)
    expected = shifted(sampler.quantile(u), shift)
    torch.testing.assert_close(t.quantile(u), expected, atol=0.02, rtol=0)


def test_logit_normal_is_normal_after_the_logit():
    torch.manual_seed(0)
    t = LogitNormal(mean=0.7, std=1.3, stratified=False)(5_000, CPU)
    logit = torch.logit(t.double()).numpy()
    assert stats.kstest((logit - 0.7) / 1.3, "norm").pvalue > 0.01


def test_a_shift_is_a_mean_for_logit_normal():
    u = torch.linspace(0.01, 0.99, 50)
    moved = shifted(LogitNormal().quantile(u), 3.0)
    torch.testing.assert_close(moved, LogitNormal(mean=math.log(3.0)).quantile(u))


def test_stratified_times_hit_every_stratum_once():
    torch.manual_seed(0)
    t = Uniform()(64, CPU)
    assert sorted((t * 64).long().tolist()) == list(range(64))


@pytest.mark.parametrize(("cls", "settings"), [(Uniform, {"shift": 0}), (LogitNormal, {"std": 0})])
def test_refuses_what_is_no_distribution(cls, settings):
    with pytest.raises(ValueError, match="must be positive, got 0"):
        cls(**settings)
