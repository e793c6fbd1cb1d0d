"""Metrics as torchmetrics: any batches and any number of processes give the same scores."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accumulated as toys
import pytest
import torch
from torchmetrics import MetricCollection

from vidiff_eval.statistics.frechet import frechet

SCRIPT = Path(toys.__file__)
VIDEOS = toys.make_videos(7)
IDS = toys.make_ids(7)


def scores(metric: Any, clips: Any = range(7), ids: bool = True, size: int = 3) -> dict[str, float]:
    """Scores of some clips in batches of ``size``."""
    clips = list(clips)
    for start in range(0, len(clips), size):
        some = clips[start : start + size]
        toys.update(metric, VIDEOS[some], [IDS[i] for i in some] if ids else None)
    return metric.compute()


def intervals(metric: Any) -> list[Any]:
    return [score.interval for score in metric.scores()]


@pytest.fixture(params=toys.KINDS)
def make(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return lambda: toys.make(request.param)


def test_clips_are_judged_as_by_hand() -> None:
    found = scores(toys.make("clips"))
    assert found["brightness"] == pytest.approx(VIDEOS.double().flatten(1).mean(1).mean().item())


def test_pairs_are_judged_as_by_hand() -> None:
    gaps = (toys.changed(VIDEOS) - VIDEOS).double().flatten(1).mean(1)
    assert scores(toys.make("pairs"))["gap"] == pytest.approx(gaps.mean().item(), rel=1e-9)


@pytest.mark.parametrize("kind", ["sets", "stream"])
def test_the_frechet_distance_is_that_of_all_clips_at_once(kind: str) -> None:
    found = scores(toys.make(kind))
    features = [toys.Means().extract(v)["features"] for v in (VIDEOS, toys.changed(VIDEOS))]
    assert found["fd_means"] == pytest.approx(frechet(*features).value, rel=1e-6, abs=1e-9)


def test_frames_of_clips_count_as_features_of_their_own() -> None:
    whole, stream = (toys.make(kind, per_frame=True) for kind in ("sets", "stream"))
    assert scores(stream)["fd_means"] == pytest.approx(scores(whole)["fd_means"], rel=1e-6)
    (score,) = stream.scores()
    assert score.detail["num_real"] == score.detail["num_generated"] == 7


def test_batches_and_order_make_no_difference(make: Callable[[], Any]) -> None:
    one, other = make(), make()
    expected = scores(one, size=7)
    assert scores(other, [4, 6, 0, 3, 5, 1, 2], size=2) == pytest.approx(expected, rel=1e-9)
    if toys.kind_of(one) == "sets":  # resampled by the order of ids, not of arrival
        assert intervals(one) == intervals(other)


def test_a_clip_of_an_id_that_came_before_counts_once(make: Callable[[], Any]) -> None:
    expected = scores(make())
    assert scores(make(), [0, 1, 1, 2, 3, 0, 4, 5, 6, 6]) == pytest.approx(expected, rel=1e-9)
    metric = make()
    scores(metric)
    assert scores(metric, [6, 2]) == pytest.approx(expected, rel=1e-9)


def test_without_ids_every_clip_counts() -> None:
    """Two dark clips beside one bright one, twice the same."""
    metric = toys.make("clips")
    dark, bright = torch.full_like(VIDEOS[:1], -1), torch.ones_like(VIDEOS[:1])
    metric.update(dark)
    metric.update(dark)
    metric.update(bright)
    assert metric.compute()["brightness"] == pytest.approx(-1 / 3)


def test_reset_forgets_all(make: Callable[[], Any]) -> None:
    metric, expected = make(), scores(make(), [1, 2, 3])
    scores(metric)
    metric.reset()
    assert scores(metric, [1, 2, 3]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", ["sets", "stream"])
def test_real_clips_can_outlive_reset(kind: str) -> None:
    kept, expected = toys.make(kind, reset_real=False), scores(toys.make(kind))
    scores(kept)
    kept.reset()
    kept.update(toys.changed(VIDEOS), real=False, ids=IDS)
    assert kept.compute() == pytest.approx(expected, rel=1e-9)
    forgetful = toys.make(kind)
    scores(forgetful)
    forgetful.reset()
    forgetful.update(VIDEOS, real=False)
    with pytest.raises(ValueError, match="the real side is too small: there is no clip"):
        forgetful.compute()


def test_states_are_saved_and_loaded(make: Callable[[], Any], tmp_path: Path) -> None:
    half, whole = make(), scores(make())
    half.persistent(True)
    for i in (0, 1, 2, 3):
        toys.update(half, VIDEOS[[i]], [IDS[i]])
    torch.save(half.state_dict(), tmp_path / "state.pt")
    loaded = make()
    loaded.persistent(True)
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert scores(loaded, [3, 4, 5, 6]) == pytest.approx(whole, rel=1e-9)  # clip 3 is known


def test_states_of_another_metric_are_refused() -> None:
    one, other = toys.make("clips"), toys.make("clips", gain=2.0)
    one.persistent(True)
    other.persistent(True)
    scores(one)
    other.load_state_dict(one.state_dict())
    with pytest.raises(ValueError, match="another metric or with other settings"):
        other.compute()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_go_on_by_themselves(make: Callable[[], Any], again: Callable[..., Any]) -> None:
    metric = make()
    scores(metric, range(4))
    other = again(metric)
    assert scores(other, range(4, 7)) == pytest.approx(scores(make()), rel=1e-9)
    assert scores(metric, []) == pytest.approx(scores(make(), range(4)), rel=1e-9)


def test_states_merge(make: Callable[[], Any]) -> None:
    one, other = make(), make()
    scores(one, [0, 1, 2])
    scores(other, [3, 4, 5, 6])
    one.merge_state(other)
    assert one.compute() == pytest.approx(scores(make()), rel=1e-9)


def test_forward_gives_the_batch_and_keeps_all() -> None:
    metric = toys.make("clips")
    first, then = metric(VIDEOS[:3]), metric(VIDEOS[3:])
    assert first == pytest.approx(scores(toys.make("clips"), range(3)))
    assert then == pytest.approx(scores(toys.make("clips"), range(3, 7)))
    assert metric.compute() == pytest.approx(scores(toys.make("clips")))
    with pytest.raises(NotImplementedError, match="a batch is of one side: call update"):
        toys.make("sets")(VIDEOS, real=True)


def test_a_collection_takes_features_once_and_mixes_nothing_up() -> None:
    """Two distances share features; two brightnesses have equal states after a black batch."""
    toys.Means.calls = 0
    sets = MetricCollection({"a": toys.make("sets"), "b": toys.make("sets", score="fd_b")})
    for start in (0, 2, 4):
        for real in (True, False):
            some = VIDEOS[start : start + 2]
            sets.update(some if real else toys.changed(some), real=real)
    found = sets.compute()
    assert len(sets.compute_groups) == 1
    assert toys.Means.calls == 7  # both in the first update, one in the five others
    assert (
        found["fd_means"]
        == found["fd_b"]
        == pytest.approx(scores(toys.make("sets"), range(6))["fd_means"], rel=1e-9)
    )
    dark = torch.zeros_like(VIDEOS[:1])
    clips = MetricCollection(
        {"a": toys.make("clips"), "b": toys.make("clips", gain=2.0, score="double")}
    )
    for videos in (dark, dark + 0.5):
        clips.update(videos)
    assert len(clips.compute_groups) == 2
    assert clips.compute() == pytest.approx({"brightness": 0.25, "double": 0.5})


def test_sums_keep_their_size_and_are_float64() -> None:
    metric = toys.make("stream")
    scores(metric, ids=False)
    few = {name: sum(t.numel() for t in getattr(metric, name)) for name in metric._defaults}
    for _ in range(5):
        scores(metric, ids=False)
    assert few == {name: sum(t.numel() for t in getattr(metric, name)) for name in metric._defaults}
    assert metric.joined("real_sums").dtype == torch.float64
    fresh = toys.make("stream")
    scores(fresh)
    assert len(fresh.joined("real_sum_ids")) + len(fresh.joined("real_ids")) == 7


def test_small_parts_survive_large_sums() -> None:
    """In float32, 1 + 1e-8 is 1."""
    metric = toys.make("clips")
    metric.update(torch.ones_like(VIDEOS[:1]))
    for _ in range(100):
        metric.update(torch.full_like(VIDEOS[:1], 1e-8))
    assert metric.compute()["brightness"] * 101 - 1 == pytest.approx(1e-6, rel=1e-3)


def test_what_cannot_be_measured_is_refused() -> None:
    clips, sets, pairs = (toys.make(kind) for kind in ("clips", "sets", "pairs"))
    with pytest.raises(ValueError, match=r"five axes, .*; got the shape \(3, 4, 2, 2\)"):
        clips.update(VIDEOS[0])
    with pytest.raises(ValueError, match="7 videos need as many ids, got 1"):
        clips.update(VIDEOS, ids=["a"])
    with pytest.raises(ValueError, match="7 videos need as many prompts, got 1"):
        clips.update(VIDEOS, ["a"])
    with pytest.raises(ValueError, match="at least 2 frames here, got 1"):
        sets.update(VIDEOS[:, :, :1], real=True)
    with pytest.raises(ValueError, match="differ"):
        pairs.update(VIDEOS, reference=VIDEOS[:, :, :2])
    with pytest.raises(ValueError, match="Gap compares each clip with its reference"):
        pairs.update(VIDEOS)
    with pytest.raises(ValueError, match=r"give update\(\) real=True or real=False"):
        sets.update(VIDEOS)
    with pytest.raises(ValueError, match=r"got torch\.uint8: bytes become them by"):
        sets.update((VIDEOS * 100).to(torch.uint8), real=True)
    with pytest.raises(ValueError, match="7 videos need as many ids, got 'abcdefg'"):
        sets.update(VIDEOS, real=True, ids="abcdefg")
    sets.update(VIDEOS, real=True, ids=IDS)
    with pytest.raises(ValueError, match="give ids to all updates of real clips, or to none"):
        sets.update(VIDEOS, real=True)
    with pytest.raises(ValueError, match="the generated side is too small: there is no clip"):
        sets.compute()
    with pytest.raises(ValueError, match="leave stream out"):
        toys.Subset().accumulator(stream=True)


def test_a_metric_of_prompts_asks_for_them() -> None:
    metric = toys.Brightness(needs_prompts=True).accumulator()
    with pytest.raises(ValueError, match="Brightness judges clips by their prompts"):
        metric.update(VIDEOS)


def test_a_metric_of_partners_wants_equal_ids_on_both_sides() -> None:
    metric = toys.make("sets", paired=True)
    metric.update(VIDEOS, real=True, ids=IDS)
    metric.update(VIDEOS, real=False, ids=[f"other {clip}" for clip in IDS])
    with pytest.raises(ValueError, match="give the same ids to both sides"):
        metric.compute()


# -- Several processes ----------------------------------------------------------------------------


@pytest.mark.parametrize("world_size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_processes_give_the_scores_of_one(tmp_path: Path, world_size: int) -> None:
    """Of 1 to 7 clips dealt by a real DistributedSampler, which repeats some; intervals as well."""
    toys.spawn("sampler", world_size, tmp_path)
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world_size)]
    assert all(result == results[0] for result in results)
    for (kind, count, size), found in results[0].items():
        metric = toys.make(kind)
        if kind in ("sets", "stream") and count < 2:
            assert "too small" in found
            continue
        assert found["scores"] == pytest.approx(scores(metric, range(count)), rel=1e-6), (
            kind, count, size,
        )  # fmt: skip
        assert found["intervals"] == intervals(metric), (kind, count, size)
    assert len(results[0]) == len(toys.KINDS) * 7 * 2


def test_uneven_shards_and_a_process_without_a_clip(tmp_path: Path) -> None:
    """Without ids; afterwards each process goes on with its own clips."""
    toys.spawn("uneven", 2, tmp_path)
    for kind in toys.KINDS:
        expected = scores(toys.make(kind), ids=False)
        for rank in range(2):
            found = torch.load(tmp_path / f"{rank}.pt")[kind]
            assert found["first"] == pytest.approx(expected, rel=1e-6)
            assert found["again"] == pytest.approx(expected, rel=1e-6)


def test_clips_of_several_processes_count_once_and_sums_of_such_are_refused(tmp_path: Path) -> None:
    toys.spawn("overlap", 2, tmp_path)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert "3 of the clips were given to several processes" in found["stream"]
        assert "DistributedSampler" in found["stream"]
        for kind in ("clips", "pairs", "sets"):  # what is kept can be told apart
            assert found[kind] == pytest.approx(scores(toys.make(kind)), rel=1e-6)


def test_light_metrics_do_not_import_torchmetrics() -> None:
    code = "import sys, vidiff_eval.metrics.base; print('torchmetrics' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr[-2000:]
