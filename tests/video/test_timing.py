"""Which frames a timeline gives, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from vidiff.video.timing import EARLY, Timeline, repeated_share

RATES = (7.0, 8.0, 12.5, 24000 / 1001, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 90.0, 120.0)


def rounded(fps: float, ticks: int, count: int = 200, how: str = "nearest") -> np.ndarray:
    """Times of a file that counts ``ticks`` a second."""
    times = np.arange(count) / fps * ticks
    return {"nearest": np.round, "down": np.floor, "up": np.ceil}[how](times) / ticks


@pytest.mark.parametrize("how", ["nearest", "down", "up"])
@pytest.mark.parametrize("ticks", [600, 1000, 12800, 90_000, 1_000_000])
@pytest.mark.parametrize("fps", RATES)
def test_own_rate_and_those_near_it_give_each_frame_once(fps: float, ticks: int, how: str) -> None:
    timeline = Timeline.of(rounded(fps, ticks, how=how), nominal=fps)
    assert timeline.num_frames == 200
    assert timeline.fps == pytest.approx(fps, rel=0.003)
    for asked in (None, fps, fps * 1.001, fps / 1.001):
        assert timeline.count(asked) == 200
        assert timeline.numbers(200, 0.0, asked).tolist() == list(range(200))
        for first in (1, 77, 195):
            for start in (timeline.time_of(first), first / fps):
                assert timeline.numbers(5, start, asked).tolist() == list(range(first, first + 5))


def test_jitter_loses_no_frame() -> None:
    generator = np.random.default_rng(0)
    for jitter in (0.1, 0.3, 0.49):
        times = (np.arange(300) + generator.uniform(-jitter, jitter, 300)) / 30
        timeline = Timeline.of(times - times[0], nominal=30)
        assert timeline.numbers(300).tolist() == list(range(300))
        for first in (1, 100, 290):
            numbers = timeline.numbers(10, timeline.time_of(first))
            assert numbers.tolist() == list(range(first, first + 10))


def test_other_rates_give_what_is_shown_then() -> None:
    """The last frame that begins before its time, or a share of its length after."""
    generator = np.random.default_rng(1)
    times = np.cumsum(generator.choice([1, 1, 2, 7], 100)) / 30
    times -= times[0]
    timeline = Timeline.of(times)
    assert timeline.times is not None
    for fps in (5.0, 11.0, 60.0):
        count = timeline.count(fps)
        assert count == round(timeline.duration * fps)
        for k, number in enumerate(timeline.numbers(count, 0.0, fps)):
            second = k / fps + 1e-6
            own = times[number]
            length = np.diff(times, append=timeline.duration)[number]
            assert own <= second + EARLY * length
            if number + 1 < 100:
                assert times[number + 1] > second


def test_halving_and_doubling_of_rounded_times() -> None:
    for ticks in (600, 1000):
        timeline = Timeline.of(rounded(120, ticks), nominal=120)
        assert timeline.numbers(100, 0.0, 60).tolist() == list(range(0, 200, 2))
        doubled = timeline.numbers(400, 0.0, 240)
        assert doubled.tolist() == [k // 2 for k in range(400)]
        assert repeated_share(doubled) == 0.5


def test_beyond_the_end() -> None:
    timeline = Timeline.even(20, 10.0)
    assert timeline.numbers(5, 1.5).tolist() == [15, 16, 17, 18, 19]
    assert timeline.numbers(5, 1.56).tolist() == [15, 16, 17, 18, 19], "the time asked for is there"
    for num_frames, start, fps in ((5, 1.6, None), (21, 0.0, None), (1, 2.5, None), (12, 1.5, 5.0)):
        with pytest.raises(ValueError, match=r"frames end at 2\.00 s, the clip asks for"):
            timeline.numbers(num_frames, start, fps)


def test_the_last_frames_of_uneven_files() -> None:
    times = np.array([0.0, 0.1, 0.2, 0.3, 2.0, 3.0, 4.0])
    timeline = Timeline.of(times, last=1.0)
    assert timeline.duration == 5.0
    for first in range(4):
        numbers = timeline.numbers(4, timeline.time_of(first))
        assert numbers.tolist() == list(range(first, first + 4))
    # Its average rate says that four frames take 2.9 s.
    assert timeline.numbers(4, 2.1).tolist() == [3, 4, 5, 6]
