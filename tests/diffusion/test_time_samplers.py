"""Time samplers against their distributions."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats

from vidiff.diffusion.schedules import EDM, VP, LinearBeta, Rectified
from vidiff.diffusion.time_samplers import LogitNormal, LogNormal, PerFrame, Uniform, shifted
from vidiff.registry import get_component, list_components

CPU, SCHEDULE = torch.device("cpu"), Rectified()


def make(name, **settings):
    if name == "per_frame":
        return PerFrame(times=partial(Uniform, **settings))
    return get_component("time_sampler", name).cls(**settings)


@pytest.mark.parametrize("name", list_components("time_sampler"))
@pytest.mark.parametrize("stratified", [True, False])
@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_draws_follow_the_shifted_quantile(name, stratified, shift):
    torch.manual_seed(0)
    sampler = make(name, shift=shift, stratified=stratified)
    t = sampler(20_000, CPU, SCHEDULE)
    assert t.shape == (20_000,)
    assert 0 <= t.min() <= t.max() <= 1
    u = torch.linspace(0.05, 0.95, 19)
    expected = shifted(sampler.quantile(u, SCHEDULE), shift)
    torch.testing.assert_close(t.quantile(u), expected, atol=0.02, rtol=0)


def test_logit_normal_is_normal_after_the_logit():
    torch.manual_seed(0)
    t = LogitNormal(mean=0.7, std=1.3, stratified=False)(5_000, CPU, SCHEDULE)
    logit = torch.logit(t.double()).numpy()
    assert stats.kstest((logit - 0.7) / 1.3, "norm").pvalue > 0.01


def test_a_shift_is_a_mean_for_logit_normal():
    u = torch.linspace(0.01, 0.99, 50)
    moved = shifted(LogitNormal().quantile(u, SCHEDULE), 3.0)
    torch.testing.assert_close(moved, LogitNormal(mean=math.log(3.0)).quantile(u, SCHEDULE))


def test_stratified_times_hit_every_stratum_once():
    torch.manual_seed(0)
    t = Uniform()(64, CPU, SCHEDULE)
    assert sorted((t * 64).long().tolist()) == list(range(64))


def test_log_normal_is_logit_normal_on_the_straight_path():
    """There ln(sigma / alpha) is the logit of t."""
    u = torch.linspace(0, 1, 101)
    for mean, std in ((-1.2, 1.2), (0.5, 0.8)):
        torch.testing.assert_close(
            LogNormal(mean, std).quantile(u, SCHEDULE), LogitNormal(mean, std).quantile(u, SCHEDULE)
        )


@pytest.mark.parametrize("schedule", [EDM(), VP(), LinearBeta(), Rectified()])
def test_log_normal_noise_levels_are_log_normal(schedule):
    torch.manual_seed(0)
    t = LogNormal(stratified=False)(5_000, CPU, schedule)
    level = schedule.noise_ratio(t.double()).log().numpy()
    assert stats.kstest((level + 1.2) / 1.2, "norm").pvalue > 0.01


def test_uniform_steps_are_those_of_ddpm():
    """Each of 0 to 999 once in a stratified batch of 1000."""
    torch.manual_seed(0)
    schedule = LinearBeta()
    t = Uniform(num_steps=1000)(1000, CPU, schedule)
    assert torch.equal(schedule.network_time(t).round().sort().values, torch.arange(1000.0))
    torch.testing.assert_close(
        schedule.network_time(t), schedule.network_time(t).round(), atol=1e-4, rtol=0
    )
    ends = Uniform(num_steps=4).quantile(torch.tensor([0.0, 0.24, 0.26, 1.0]), schedule)
    assert ends.tolist() == [0.25, 0.25, 0.5, 1.0]


@pytest.mark.parametrize("stratified", [True, False])
def test_times_of_frames_are_independent_and_each_has_the_distribution(stratified):
    """Within a clip, across the batch, and of the place that stratified times have in order."""
    torch.manual_seed(0)
    sampler = PerFrame(times=partial(LogitNormal, mean=0.7, std=1.3, stratified=stratified))
    t = sampler.draw(torch.zeros(2_000, 1, 4, 1, 1), SCHEDULE)
    assert t.shape == (2_000, 4)
    assert t.dtype == torch.float32
    logit = torch.logit(t.double()).numpy()
    for frame in logit.T:
        assert stats.kstest((frame - 0.7) / 1.3, "norm").pvalue > 0.01
    columns = np.column_stack([logit, np.arange(2_000)])
    columns = np.column_stack([columns[1:], logit[:-1]])  # and of the clip before
    correlation = np.corrcoef(columns, rowvar=False) - np.eye(columns.shape[1])
    assert np.abs(correlation).max() < 0.09  # four standard deviations


@pytest.mark.parametrize("name", sorted({*list_components("time_sampler")} - {"per_frame"}))
def test_other_times_are_one_for_all_frames(name):
    torch.manual_seed(0)
    t = make(name).draw(torch.zeros(5, 1, 4, 1, 1), SCHEDULE)
    torch.manual_seed(0)
    assert torch.equal(t, make(name)(5, CPU, SCHEDULE))
    assert t.shape == (5,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"num_steps": 10, "shift": 2.0}, r"shift must be 1 with num_steps=10.*got 2\.0"),
    ],
)
def test_uniform_refuses_what_are_no_steps(settings, message):
    with pytest.raises(ValueError, match=message):
        Uniform(**settings)


@pytest.mark.parametrize(
    ("cls", "settings"),
    [(Uniform, {"shift": 0}), (LogitNormal, {"std": 0}), (LogNormal, {"std": 0})],
)
def test_refuses_what_is_no_distribution(cls, settings):
    with pytest.raises(ValueError, match="must be positive, got 0"):
        cls(**settings)
