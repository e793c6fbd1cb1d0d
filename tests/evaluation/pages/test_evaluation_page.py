from __future__ import annotations

import json
import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vidiff.evaluation_report import (
    Curve,
    Group,
    Line,
    Marks,
    MetricInfo,
    NoiseFloor,
    ProtocolInfo,
    Report,
    Sanity,
    Score,
    ScoreInfo,
    SkippedFile,
    Video,
)  # fmt: skip
from vidiff.pages import charts
from vidiff.schema import build, plain
from vidiff.video import write_video
from vidiff_eval.pages import gallery, render_evaluation
from vidiff_eval.pages.distributions import make_distribution, make_distributions
from vidiff_eval.pages.gallery import make_gallery
from vidiff_eval.pages.sanity_table import make_sanity
from vidiff_eval.pages.scores_table import BAR, make_lines

NASTY = "<script>bad()</script> & \"quoted\" 'twice' </script>"

Clips = dict[str, dict[str, Path]]

METRICS: dict[str, tuple[Any, bool | None, list[str]]] = {
    "fvd": ("sets", False, ["fvd"]),
    "clip_score": ("clips", True, ["clip_score", "clip_score_lowest_frame"]),
    "motion": ("clips", None, ["motion_px"]),
    "prompt_accuracy": ("clips", True, ["prompt_accuracy"]),
}


def score(name: str, value: float, half: float | None = None, **detail: Any) -> Score:
    interval = None if half is None else (value - half, value + half)
    return Score(name, value, interval, "Student's t" if interval else "", detail)


def make_side(folder: Path, num_clips: int, offset: float, *, prompts: bool = True) -> Group:
    """One side of a report; values are spread round ``offset``."""
    numbers = np.random.default_rng(round(100 * offset)).normal(size=(num_clips, 2))
    videos = [
        Video(
            id=f"{k:04d}.mp4",
            file=f"{k:04d}.mp4",
            index=k,
            prompt=f"a red circle moves left, number {k}" if prompts else "",
            seed=7 if prompts else None,
            sha256=f"{k:064x}",
            found={
                "clip_score": {
                    "clip_score": 24 + offset + one,
                    "clip_score_lowest_frame": 22 + offset + one,
                },
                "motion": {"motion_px": abs(two)},
                "prompt_accuracy": {
                    "prompt_accuracy": float(k % 3 > 0),
                    "right": k % 3 > 0,
                    "found": "a blue square stays still",
                },
            },
        )
        for k, (one, two) in enumerate(numbers.tolist())
    ]
    means = {
        name: float(np.mean([video.found[metric][name] for video in videos]))
        for metric, (kind, _, names) in METRICS.items()
        if kind == "clips"
        for name in names
    }
    half = 2 / math.sqrt(num_clips)
    scores = {
        metric: [score(name, means[name], half) for name in names]
        for metric, (kind, _, names) in METRICS.items()
        if kind == "clips"
    }
    return Group(
        folder=str(folder), num_clips=num_clips, sha256="ab" * 32, scores=scores, videos=videos
    )


def make_report(num_clips: int = 6, *, real: bool = True, prompts: bool = True) -> Report:
    """A report of two groups as `vidiff evaluate` writes it; ``mine`` is the better one."""
    groups = {
        name: make_side(Path("out") / name, num_clips, offset, prompts=prompts)
        for name, offset in (("base", 0.0), ("mine", 9.0))
    }
    for name, value in (("base", 420.0), ("mine", 310.0)):
        groups[name].scores["fvd"] = [score("fvd", value, 20.0, raw=value - 0.5)]
    floor = NoiseFloor(num_clips, 80.0, 90.0, 20, False)
    names = [name for name in METRICS if (real or name != "fvd")]
    if not real:
        for group in groups.values():
            group.scores.pop("fvd", None)
    settings = {"num_frames": 9, "stride": 1, "fps": None, "size": [32, 32]}
    rows = {
        "real": {"fvd": 100.0, "motion_px": 0.8, "clip_score": 25.0},
        "shuffled": {"fvd": 640.0, "motion_px": 4.0, "clip_score": 25.0},
        "frozen": {"fvd": 104.0, "motion_px": 0.0, "clip_score": math.nan},
    }
    meaning = {"real": "as they are", "shuffled": "frames in a random order",
               "frozen": "the first frame, held"}  # fmt: skip
    curves = [
        Curve(
            "fvd against the number of clips", "clips of each side", "fvd",
            [
                Line("base", [(4, 900.0), (8, 600.0), (16, 420.0)]),
                Line("mine", [(4, 800.0), (8, math.nan), (16, 310.0)]),
                Line("real against real", [(4, 300.0), (8, 150.0), (16, 80.0)]),
            ],
        ),
        Curve("empty", "n", "v", [Line("base", [])]),
    ]  # fmt: skip
    return Report(
        created="2026-01-01T12:00:00+00:00",
        versions={"python": "3.11", "torch": "2.15"},
        hardware={"device": "cpu"},
        protocol=ProtocolInfo("vidiff", "0123456789abcdef", settings),
        real=make_side(Path("real"), num_clips, 1.0, prompts=prompts) if real else None,
        groups=groups,
        metrics={
            name: MetricInfo(
                kind=METRICS[name][0],
                summary=f"What {name} measures.",
                higher_is_better=METRICS[name][1],
                scores=[ScoreInfo(one) for one in METRICS[name][2]],
                settings={"weights": {"sha256": "cd" * 32}},
                noise_floor=floor if name == "fvd" else None,
                marks=Marks("right", "found") if name == "prompt_accuracy" else None,
            )
            for name in names
        },
        not_measured={"lpips": "compares pairs: ask for it by --metrics lpips"},
        sanity=Sanity(3, rows, meaning) if real else None,
        curves=curves if real else [],
        warnings=["fvd: 6 clips are few."],
    )


def write_clips(folder: Path, report: Report, size: tuple[int, int] = (32, 32)) -> Clips:
    """A small moving video for each clip."""
    folder.mkdir()
    paths: Clips = {}
    for name, group in report.groups.items():
        paths[name] = {}
        for video in group.videos:
            path = folder / f"{name}_{video.file}"
            pixels = torch.full((3, 9, *size), -0.8)
            for f in range(9):
                left = 2 * f + video.index % 8
                pixels[0 if name == "base" else 1, f, 8:20, left : left + 10] = 0.9
            write_video(path, pixels, fps=8)
            paths[name][video.id] = path
    return paths


def held(page: str) -> dict[str, str]:
    """The videos that a page holds, by key."""
    found = re.search(r'<script type="application/json" id="clips">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


# --- the table -----------------------------------------------------------------------------------


def test_a_group_is_best_only_where_intervals_are_apart() -> None:
    report = make_report()
    (line,) = make_lines(report)["fvd"]
    assert line.said == "mine is best"
    assert [cell.is_best for cell in line.cells.values()] == [False, True]
    assert line.arrow == "↓"

    report.groups["mine"].scores["fvd"] = [score("fvd", 310.0, 100.0)]
    (line,) = make_lines(report)["fvd"]
    assert line.said == "cannot tell which is best"
    assert not any(cell.is_best for cell in line.cells.values())

    report.groups["mine"].scores["fvd"] = [score("fvd", 335.0, 1.0)]
    report.groups["base"].scores["fvd"] = [score("fvd", 420.0, 1.0)]
    (line,) = make_lines(report)["fvd"]
    assert line.said == "differences are below the noise floor"


def test_scores_beside_the_main_one_have_no_direction() -> None:
    main, other = make_lines(make_report())["clip_score"]
    assert (main.arrow, main.said) == ("↑", "mine is best")
    assert (other.arrow, other.said) == ("", "")
    (motion,) = make_lines(make_report())["motion"]
    assert motion.arrow == ""


def test_drawings_keep_order_and_stay_inside() -> None:
    (line,) = make_lines(make_report())["fvd"]
    base, mine = line.cells["base"], line.cells["mine"]
    assert base.ends is not None
    assert mine.dot is not None
    assert base.dot is not None
    assert line.floor_place is not None
    assert 0 <= line.floor_place < mine.dot < base.ends[0] < base.dot < base.ends[1] <= BAR


def test_unknown_values_are_dashes() -> None:
    report = make_report()
    report.groups["mine"].scores["fvd"] = [score("fvd", math.nan)]
    (line,) = make_lines(report)["fvd"]
    assert line.cells["mine"].value is None
    assert line.said == ""
    report.groups["mine"].scores["motion"] = []
    page = render_evaluation(report, title="x")
    table = page[page.index("<h2>Scores") : page.index("Not measured")]
    assert "None" not in table
    assert table.count('<span class="value">–</span>') == 2


# --- distributions and sanity rows ---------------------------------------------------------------


def test_outlines_hold_every_clip() -> None:
    values = {"a": [k / 99 for k in range(100)], "b": [0.5] * 50}
    chart = make_distribution("x", values)
    for series in chart.series:
        places = [tuple(map(float, xy)) for xy in re.findall(r"([\d.]+) ([\d.]+)", series.path)]
        base = charts.HEIGHT - charts.BOTTOM
        # The sum of shares is 1: areas are in the ratio of the tallest bin's share.
        area = sum((x1 - x0) * (base - y0) for (x0, y0), (x1, _) in zip(places, places[1:]))  # noqa: B905, RUF007
        width = charts.WIDTH - charts.LEFT - charts.RIGHT
        assert area == pytest.approx(width / 10 * (base - charts.TOP), rel=0.02)
        assert all(0 <= x <= charts.WIDTH and 0 <= y <= charts.HEIGHT for x, y in places)


def test_few_clips_are_dots_and_yes_or_no_is_not_drawn() -> None:
    drawn = make_distributions(make_report(6))
    assert [chart.title for chart in drawn] == [
        "clip_score",
        "clip_score_lowest_frame",
        "motion_px",
    ]
    assert [len(series.dots) for series in drawn[0].series] == [6, 6, 6]
    assert [series.label for series in drawn[0].series] == ["base", "mine", "real clips"]
    assert all(series.path for series in make_distributions(make_report(40))[0].series)


def test_sanity_rows_say_what_is_seen() -> None:
    fvd, motion, score = make_sanity(make_report())
    assert fvd.changed["shuffled"].ratio == pytest.approx(6.4)
    # The floor of 6 clips spreads by 10, so that of 3 by about 20.
    assert [seen.sees for seen in fvd.changed.values()] == [True, False]
    report = make_report()
    assert report.sanity is not None
    report.sanity.rows["shuffled"]["fvd"] = 20.0  # nearer by chance
    assert make_sanity(report)[0].changed["shuffled"].sees is False
    assert [seen.sees for seen in motion.changed.values()] == [True, True]
    assert score.changed["shuffled"].sees is False
    assert score.changed["frozen"].sees is None
    assert make_sanity(make_report(real=False)) == []


# --- clips ---------------------------------------------------------------------------------------


def test_worst_and_best(tmp_path: Path) -> None:
    report = make_report(5)
    shelves = make_gallery(report, write_clips(tmp_path / "clips", report)).shelves
    shelf = next(s for s in shelves if (s.score, s.group) == ("clip_score", "base"))
    (worst, low), (best, high) = shelf.ends
    assert (worst, best) == ("worst", "best")
    assert [len(low), len(high)] == [3, 2]
    values = [card.value for card in [*low, *reversed(high)]]
    assert values == sorted(v.found["clip_score"]["clip_score"]
                            for v in report.groups["base"].videos)  # fmt: skip
    motion = next(s for s in shelves if s.score == "motion_px")
    assert [end for end, _ in motion.ends] == ["lowest", "highest"]
    report.metrics["clip_score"] = replace(report.metrics["clip_score"], higher_is_better=False)
    shelf = make_gallery(report, {"base": {"0000.mp4": tmp_path / "clips/base_0000.mp4"}}).shelves[
        0
    ]
    assert [(end, len(cards)) for end, cards in shelf.ends] == [("worst", 1), ("best", 0)]


def test_the_page_does_not_grow_without_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = make_report(5)
    clips = write_clips(tmp_path / "clips", report)
    whole = make_gallery(report, clips)
    assert whole.num_left_out == 0
    assert len(whole.media) == 10
    size = sum(map(len, whole.uris.values()))
    monkeypatch.setattr(gallery, "MAX_BYTES", size // 2)
    half = make_gallery(report, clips)
    assert sum(map(len, half.uris.values())) <= size // 2
    assert len(half.media) + half.num_left_out == 10
    worst = [shelf.ends[0][1][0].key for shelf in half.shelves]
    assert all(key in half.media for key in worst)


# --- the page ------------------------------------------------------------------------------------


def test_page_is_self_contained_and_escapes(tmp_path: Path) -> None:
    report = make_report()
    clips = write_clips(tmp_path / "clips", report)
    text = json.dumps(plain(report))
    for word in ("a red circle", "What fvd measures.", "out/base", "fvd: 6 clips", "compares pairs",
                 "frames in a random order", "cdcd"):  # fmt: skip
        assert word in text
        text = text.replace(word, json.dumps(NASTY)[1:-1])
    nasty = build(Report, json.loads(text))
    nasty.groups[NASTY] = nasty.groups.pop("mine")
    nasty.groups[NASTY].skipped = [SkippedFile(NASTY, NASTY)]
    page = render_evaluation(nasty, clips={NASTY: clips["mine"]}, title=NASTY)
    assert page.count("bad()") > 20
    assert "<script>bad()" not in page
    assert page.count("</script>") == 2
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert "url(" not in page
    assert all(uri.startswith("data:video/mp4;base64,") for uri in held(page).values())


def test_each_video_is_held_once(tmp_path: Path) -> None:
    report = make_report(3)
    page = render_evaluation(report, clips=write_clips(tmp_path / "clips", report), title="x")
    assert len(held(page)) == 6
    assert page.count("data:video/mp4") == 6
    assert page.count("<video") == 24  # three clips of two groups, for each of four scores


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("prompts", [True, False])
@pytest.mark.parametrize("num_clips", [1, 300])
def test_page_of_any_size(tmp_path: Path, real: bool, prompts: bool, num_clips: int) -> None:
    report = make_report(num_clips, real=real, prompts=prompts)
    del report.groups["mine"]
    page = render_evaluation(report, title="x")
    assert ("Noise floor" in page) == real
    assert "<video" not in page
    assert "is best" not in page
    assert not re.search(r'="[^"]*\bnan\b', page)
    assert len(page) < 400_000


def test_page_says_what_matters() -> None:
    report = make_report()
    report.groups["base"].skipped = [SkippedFile("bad.mp4", "no such file")]
    page = render_evaluation(report, title="two models")
    for word in ("two models", "0123456789abcdef", "6 clips are few", "mine is best", "not seen",
                 "bad.mp4", "ask for it by --metrics lpips", "×6.4", "Student"):  # fmt: skip
        assert word in page, word


# The page is driven by keys, and says in its body what a person would see.
DRIVE = """
<script>
const faults = [];
addEventListener("error", event => faults.push(String(event.message || event.target)));
addEventListener("securitypolicyviolation", event => faults.push(event.violatedDirective));
addEventListener("load", () => setTimeout(async () => {
  // Timers run in virtual time, which passes at once; decoding takes real time, so do real work.
  const data = document.body.dataset;
  const wait = async () => {
    for (let round = 0; round < 300 && (!round || data.decoded !== data.videos); round++) {
      for (let work = 0; work < 3e6; work++) Math.sqrt(work);
      await new Promise(done => setTimeout(done, 10));
    }
  };
  await wait();
  const seen = () => [...document.querySelectorAll(".shelf")].filter(s => s.offsetHeight).map(
    s => s.dataset.score + "/" + s.dataset.group).join(" ");
  document.body.dataset.first = seen() + " " + document.body.dataset.decoded;
  const press = (filter, value) =>
    document.querySelector(`[data-filter=${filter}][data-value=${value}]`).click();
  press("score", "motion_px"); await wait();
  document.body.dataset.second = seen() + " " + document.body.dataset.decoded;
  press("group", "mine"); await wait();
  document.body.dataset.third = seen() + " " + document.body.dataset.decoded;
  document.body.dataset.charts = [...document.querySelectorAll(".chart svg")].filter(
    svg => svg.getBoundingClientRect().height > 50 && svg.querySelector("path, circle")).length;
  document.body.dataset.wide = document.documentElement.scrollWidth <= innerWidth;
  document.body.dataset.faults = faults.join("; ");
}, 3000));
</script>
"""


@pytest.mark.parametrize("width", [1400, 500])
def test_page_in_a_browser(tmp_path: Path, chromium: str, width: int) -> None:
    report = make_report(4)
    page = render_evaluation(report, clips=write_clips(tmp_path / "clips", report), title="x")
    path = tmp_path / "page.html"
    path.write_text(page.replace("<style>", DRIVE + "<style>", 1), encoding="utf-8")
    options = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--window-size={width},2400", "--virtual-time-budget=20000", "--enable-logging=stderr",
        "--dump-dom",
    ]  # fmt: skip
    command = [chromium, *options, f"--user-data-dir={tmp_path / 'profile'}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    body = re.search(r"<body[^>]*>", done.stdout)
    assert body is not None
    said = dict(re.findall(r'data-(\w+)="([^"]*)"', body[0]))
    assert said["first"] == "clip_score/base clip_score/mine 8"
    assert said["second"] == "motion_px/base motion_px/mine 8"
    assert said["third"] == "motion_px/mine 4"
    assert said["charts"] == "4"
    assert said["wide"] == "true"
    assert said["faults"] == ""
    assert "CONSOLE" not in done.stderr
