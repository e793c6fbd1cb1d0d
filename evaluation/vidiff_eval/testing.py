"""Conformance checks of metrics, and of optical flow for ``vidiff.testing.check_component``.

A plugin's test is one line::

    from vidiff_eval.testing import check_metric

    def test_my_metric() -> None:
        check_metric("my_metric")
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vidiff.registry import get_component, list_components
from vidiff.schema import plain
from vidiff.testing.common import checks, finite
from vidiff_eval.metrics.base import ClipMetric, PairMetric, Row, SetMetric, VideoMetric
from vidiff_eval.networks.flow import OpticalFlow
from vidiff_eval.protocols.protocol import Protocol

__all__ = ["check_metric"]

PROMPT = "a red square moves left"
NUM_CLIPS = 3


def check_metric(name: str, *, size: tuple[int, int, int] = (9, 32, 32), **settings: Any) -> None:
    """Build a metric and check what its kind promises.

    Args:
        name: under which it is registered.
        size: frames, height and width of the clips that it is tried on.
        settings: constructor arguments.

    Raises:
        AssertionError: if a promise is broken; says which.
        ValueError: if there is no such metric, or it lacks something such as weights.
    """
    metric = get_component("metric", name).cls(**settings)
    assert isinstance(metric, VideoMetric)
    metric.follow(Protocol())
    json.dumps(metric.settings, allow_nan=False)
    assert metric.scores, "a metric has a score"
    json.dumps(plain(metric.describe()), allow_nan=False)  # as many units and limits as scores
    for other in list_components("metric"):
        taken = getattr(get_component("metric", other).cls, "scores", ())
        clash = set(metric.scores) & set(taken) if other != name else ()
        assert not clash, f"{name} and {other} both have a score {clash}"
    clips = _clips(size)
    if isinstance(metric, ClipMetric):
        _check_clips(metric, clips)
    elif isinstance(metric, PairMetric):
        _check_rows(metric, metric.judge(clips, clips.roll(1, dims=0)))
    elif isinstance(metric, SetMetric):
        _check_sets(metric)


def _check_clips(metric: ClipMetric, clips: Tensor) -> None:
    """What is found of a clip, and its row, do not depend on other clips."""
    prompts = [PROMPT] * len(clips)
    found, alone = metric.features.extract(clips), metric.features.extract(clips[1:2])
    for key, value in found.items():
        assert len(value) == len(clips), f"the first axis of {key} must be that of clips"
        pair = value[1:2].double(), alone[key].double()
        close = torch.allclose(*pair, rtol=1e-3, atol=1e-4, equal_nan=True)
        assert close, f"{key} of a clip depends on the others in its batch"
    rows = metric.judge(found, prompts)
    _check_rows(metric, rows)
    (row,) = metric.judge({key: value[1:2] for key, value in found.items()}, prompts[:1])
    for name in metric.scores:
        close = abs(row[name] - rows[1][name]) <= 1e-5 * max(1.0, abs(row[name]))
        assert close, f"{name} of a clip depends on the others in its batch"
    for name, values in metric.curves(found).items():
        assert len(values) == len(clips), f"the first axis of curve {name} must be that of clips"


def _check_rows(metric: ClipMetric | PairMetric, rows: Sequence[Row]) -> None:
    """Rows have all scores, and sums of sums are sums."""
    assert len(rows) == NUM_CLIPS, "each clip has a row"
    json.dumps(rows, allow_nan=False)
    assert metric.tally([]).keys() == metric.tally(rows).keys()
    parts = [metric.tally(rows[:1]), metric.tally(rows[1:])]
    joined = {key: parts[0][key] + parts[1][key] for key in parts[0]}
    scores, whole = metric.summarise(joined), metric.summarise(metric.tally(rows))
    assert tuple(score.name for score in scores) == tuple(metric.scores)
    for one, other in zip(scores, whole, strict=True):
        assert abs(one.value - other.value) <= 1e-9 * max(1.0, abs(other.value))


def _check_sets(metric: SetMetric) -> None:
    """Scores do not depend on the order of clips, and intervals hold the score."""
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(24, 6, generator=generator)
    generated = torch.randn(30, 6, generator=generator) * 1.5 + 0.5
    values = metric.distance(real, generated)
    assert tuple(values) == tuple(metric.scores)
    turned = metric.distance(real.flip(0), generated.roll(7, dims=0))
    for score in metric.compare(real, generated):
        assert abs(score.value - values[score.name]) <= 1e-6 * max(1.0, abs(score.value))
        low, high = score.interval or (score.value, score.value)
        assert low <= score.value <= high, f"{score.name} is outside of its interval"
        # A metric that draws parts of the sets draws others now, which is well within it.
        other, slack = turned[score.name], 1e-6 * max(1.0, abs(score.value))
        assert low - slack <= other <= high + slack, f"{score.name} depends on the clips' order"


@checks("flow")
def _check_flow(make: Callable[[], OpticalFlow]) -> None:
    """Flow has a vector for each pixel, and that of a pair does not depend on the other pairs."""
    flow = make()
    json.dumps(flow.settings, allow_nan=False)
    assert flow.settings.get("flow"), "settings must have the name of the flow under 'flow'"
    frames, others = _clips((2, 64, 72)).unbind(2)
    found = finite(flow.estimate(frames, others), (NUM_CLIPS, 2, 64, 72), "flow")
    alone = flow.estimate(frames[1:2], others[1:2])
    close = torch.allclose(found[1:2], alone, rtol=1e-3, atol=1e-3)
    assert close, "flow of a pair depends on the others in its batch"


def _clips(size: tuple[int, int, int]) -> Tensor:
    """Clips (b, 3, f, h, w) in [-1, 1] with something smooth that moves."""
    f, h, w = size
    time, down, across = (torch.linspace(0, 1, n) for n in (f, h, w))
    phase = torch.arange(NUM_CLIPS).view(-1, 1, 1, 1, 1) + torch.arange(3).view(1, 3, 1, 1, 1) / 2
    place = 2 * down.view(h, 1) + 3 * across.view(1, w)
    return torch.sin(6.28 * (place + 0.3 * time.view(f, 1, 1)) + phase)
