from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from vidiff.__main__ import main
from vidiff.evaluation_report import (
    Group,
    MetricInfo,
    NoiseFloor,
    ProtocolInfo,
    Report,
    Score,
    ScoreInfo,
    Video,
    write_report,
)  # fmt: skip
from vidiff_eval.judging.compare import (
    Change,
    Comparison,
    Incomparable,
    choose_groups,
    compare,
    difference_interval,
    differences,
    paired_interval,
    verdict,
)

BOTH = ("mine", "mine")


def make_report(
    *, score: float = 25.0, fvd: float = 300.0, num_clips: int = 8, seeds: int = 0, **choice: Any
) -> Report:
    """A report of `fvd` and `score` of one group; ``choice`` changes its protocol."""
    rng = np.random.default_rng(seeds)
    values = score + rng.normal(size=num_clips) + np.arange(num_clips)
    half = float(stats.t.ppf(0.975, num_clips - 1) * values.std(ddof=1) / math.sqrt(num_clips))
    mean = float(values.mean())
    protocol = {"num_frames": 16, "size": None, **choice}
    real = {"sha256": "ab" * 32, "num_clips": 64}
    settings = {"weights": "cd"}
    return Report(
        created=f"2026-01-0{seeds + 1}",
        versions={"torch": "2.15"},
        protocol=ProtocolInfo("vidiff", settings=protocol),
        metrics={
            "fvd": MetricInfo(
                "sets", [ScoreInfo("fvd")], higher_is_better=False,
                noise_floor=NoiseFloor(64, 40.0, 50.0, 10, False),
            ),
            "score": MetricInfo(
                "clips", [ScoreInfo("score"), ScoreInfo("score_low")], higher_is_better=True
            ),
        },
        groups={
            "mine": Group(
                folder=f"somewhere/{seeds}",
                num_clips=num_clips,
                sha256=f"{seeds}",
                scores={
                    "fvd": [Score("fvd", fvd, (fvd - 20, fvd + 30))],
                    "score": [
                        Score("score", mean, (mean - half, mean + half)),
                        Score("score_low", mean - 5),
                    ],
                },
                videos=[
                    Video(
                        f"{k}.mp4", f"{k}.mp4", k, f"prompt {k}", 7,
                        found={"score": {"score": value}},
                    )
                    for k, value in enumerate(values.tolist())
                ],
                compared={
                    "fvd": {
                        "protocol": protocol, "settings": settings, "real": real,
                        "num_clips": num_clips,
                    },
                    "score": {"protocol": protocol, "settings": {"model": "clip"}},
                },
            )
        },
    )  # fmt: skip


def by_score(comparison: Comparison) -> dict[str, Change]:
    return {change.score: change for change in comparison.scores}


# --- intervals -----------------------------------------------------------------------------------


def test_paired_interval_is_that_of_a_paired_t_test() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 12))
    expected = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert paired_interval(a.tolist(), b.tolist()) == pytest.approx((expected.low, expected.high))


def test_interval_of_a_difference() -> None:
    assert difference_interval(10, 14, (7, 13), (10, 18)) == pytest.approx((-1, 9))  # 3, 4, 5
    low, high = difference_interval(0, 0, (-3, 0), (-4, 0)) or (0, 0)
    assert (low, high) == pytest.approx((-4, 3))  # lopsided: of b its low end, of a its own
    assert difference_interval(10, 14, None, (10, 18)) is None


def test_the_interval_of_a_difference_covers_it() -> None:
    rng = np.random.default_rng(0)
    hits, trials, n = 0, 2000, 20
    t = float(stats.t.ppf(0.975, n - 1))
    for a, b in rng.normal(size=(trials, 2, n)):
        (m, one), (k, other) = ((x.mean(), t * x.std(ddof=1) / math.sqrt(n)) for x in (a, b))
        found = difference_interval(m, k, (m - one, m + one), (k - other, k + other))
        hits += found is not None and found[0] <= 0 <= found[1]
    assert 0.94 < hits / trials < 0.975


@pytest.mark.parametrize(
    ("difference", "interval", "floor", "higher", "said"),
    [
        (5.0, (1.0, 9.0), None, True, "better"),
        (5.0, (1.0, 9.0), None, False, "worse"),
        (-5.0, (-9.0, -1.0), None, False, "better"),
        (-5.0, (-9.0, -1.0), None, None, "lower"),
        (5.0, (-1.0, 11.0), None, True, "cannot tell"),
        (5.0, None, None, True, "cannot tell"),
        (5.0, (1.0, 9.0), 6.0, False, "below the noise floor"),
        (None, None, 6.0, False, "not measured"),
    ],
)
def test_verdicts(
    difference: float | None,
    interval: tuple[float, float] | None,
    floor: float | None,
    higher: bool | None,
    said: str,
) -> None:
    assert verdict(difference, interval, floor=floor, higher_is_better=higher) == said


# --- reports -------------------------------------------------------------------------------------


def test_the_same_clips_of_both_are_paired() -> None:
    a, b = make_report(), make_report(score=25.5)  # each clip is better by a half
    line = by_score(compare(a, b, groups=BOTH))["score"]
    assert line.difference == pytest.approx(0.5)
    assert line.interval == pytest.approx((0.5, 0.5))
    assert line.method == "paired by clip, 8 pairs"
    assert line.verdict == "better"

    for video in b.groups["mine"].videos:
        video.id = video.id.replace(".mp4", ".avi")  # the same clip in another file
    assert "paired" in by_score(compare(a, b, groups=BOTH))["score"].method
    for video in b.groups["mine"].videos:
        video.id = f"other_{video.id}"  # prompts and seeds still tell
    assert "paired" in by_score(compare(a, b, groups=BOTH))["score"].method
    for video in b.groups["mine"].videos:
        video.seed = 8
    line = by_score(compare(a, b, groups=BOTH))["score"]
    assert line.method == "independent sets"
    assert line.verdict == "cannot tell"
    assert line.interval is not None
    assert line.interval[0] < 0 < line.interval[1]


def test_a_score_that_is_no_mean_is_not_paired() -> None:
    a, b = make_report(), make_report(score=25.5)
    scores = b.groups["mine"].scores["score"]
    scores[0] = replace(scores[0], value=scores[0].value + 0.1)
    assert by_score(compare(a, b, groups=BOTH))["score"].method == "independent sets"


def test_distances() -> None:
    a = make_report(fvd=300)
    line = by_score(compare(a, make_report(fvd=200), groups=BOTH))["fvd"]
    half = [math.hypot(20, 30), math.hypot(30, 20)]
    assert line.interval == pytest.approx((-100 - half[0], -100 + half[1]))
    assert line.verdict == "better"
    assert line.noise_floor == 50
    line = by_score(compare(a, make_report(fvd=340), groups=BOTH))["fvd"]
    assert line.verdict == "below the noise floor"


def test_only_the_main_score_has_a_direction() -> None:
    line = by_score(compare(make_report(), make_report(), groups=BOTH))["score_low"]
    assert line.higher_is_better is None
    assert line.verdict == "cannot tell"


def test_differences_are_dotted() -> None:
    a = {"x": {"y": 1, "same": 2}, "only": 3, "list": [1, 2]}
    b = {"x": {"y": 4, "same": 2}, "list": [1, 3], "null": None}
    assert differences(a, b) == {
        "x.y": (1, 4), "only": (3, None), "list": ([1, 2], [1, 3]), "null": (None, None),
    }  # fmt: skip


def test_other_ways_of_measuring_are_refused() -> None:
    a = make_report()
    with pytest.raises(Incomparable) as caught:
        compare(a, make_report(size=[64, 64]), groups=BOTH)
    assert caught.value.differing == {
        name: {"protocol.size": (None, [64, 64])} for name in ("fvd", "score")
    }
    fewer = make_report(num_clips=6)
    with pytest.raises(Incomparable, match=r"fvd differ in num_clips") as caught:
        compare(a, fewer, groups=BOTH)
    assert list(caught.value.differing) == ["fvd"]  # a mean does not mind how many clips it is of
    assert list(by_score(compare(a, fewer, groups=BOTH, metrics=["score"]))) == [
        "score", "score_low",
    ]  # fmt: skip


def test_where_and_when_do_not_matter_and_versions_are_a_note() -> None:
    a, b = make_report(), make_report(seeds=1)
    assert compare(a, b, groups=BOTH).notes == []
    b.versions["torch"] = "2.16"
    assert compare(a, b, groups=BOTH).notes == ["torch differs: 2.15 and 2.16"]


def test_metrics_of_one_report_are_named() -> None:
    a, b = make_report(), make_report()
    del b.groups["mine"].scores["fvd"]
    found = compare(a, b, groups=BOTH)
    assert found.only_in == {"a": ["fvd"], "b": []}
    with pytest.raises(ValueError, match="the second report has no fvd"):
        compare(a, b, groups=BOTH, metrics=["fvd"])
    with pytest.raises(ValueError, match="no group 'other'"):
        compare(a, b, groups=("mine", "other"))


def of_groups(*names: str) -> Report:
    return Report({name: Group(1) for name in names}, {}, ProtocolInfo("vidiff"))


def test_which_groups() -> None:
    one, two = of_groups("a"), of_groups("b", "c")
    assert choose_groups(one, of_groups("z")) == [("a", "z")]
    assert choose_groups(two, of_groups("c", "b")) == [("b", "b"), ("c", "c")]
    assert choose_groups(two, two, "b=c") == [("b", "c")]
    assert choose_groups(two, two, "c") == [("c", "c")]
    with pytest.raises(ValueError, match="--group A=B"):
        choose_groups(one, two)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = []
    for name, report in {
        "a": make_report(),
        "b": make_report(score=25.5, fvd=200),
        "other": make_report(size=[64, 64]),
    }.items():
        path = tmp_path / f"{name}.json"
        write_report(path, report)
        paths.append(str(path))
    return paths


def test_compare(tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "comparison.json"
    assert main(["compare", *files[:2], "--output", str(output)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (fvd,) = [line for line in lines if line.startswith("fvd ↓")]
    assert fvd.split()[2:5] == ["300", "200", "-100"]
    assert fvd.endswith("B is better")
    (score,) = [line for line in lines if line.startswith("score ↑")]
    assert score.endswith("B is better (paired)")
    (written,) = json.loads(output.read_text())["comparisons"]
    assert [score["score"] for score in written["scores"]] == ["fvd", "score", "score_low"]
    assert main(["compare", *files[:2], "--output", str(output)]) != 0
    assert "--overwrite" in capsys.readouterr().err


def test_compare_refuses(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", files[0], files[2]]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "not comparable" in err.splitlines()[0]
    assert err.splitlines()[2].split(maxsplit=2) == [
        "protocol.size",
        "null",
        "[64, 64]  fvd, score",
    ]


def test_compare_errors(
    tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", files[0], str(tmp_path / "none.json")]) != 0
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "bad.json").write_text("[]")
    assert main(["compare", files[0], str(tmp_path / "bad.json")]) != 0
    assert "is no evaluation" in capsys.readouterr().err
