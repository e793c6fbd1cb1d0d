"""The report says what the results say, to people who have not seen the code."""

from __future__ import annotations

import copy
import csv
import html
import io
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import render
from made_results import SHARE, judged, make_cell

from vidiff.ablation.judge.schema import FailedRun, Results, Status
from vidiff.ablation.judge.statistics.contrasts import Effect
from vidiff.ablation.judge.statistics.intervals import Estimate
from vidiff.ablation.report import phrases
from vidiff.ablation.report.page import colours, make_axis, make_curves
from vidiff.pages import charts
from vidiff.video import write_video


def change(results: Results, cell: int, **changes: Any) -> None:
    """Change the difference of a cell by accuracy."""
    differences = results.cells[cell].differences
    differences["accuracy"] = replace(differences["accuracy"], **changes)


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_answer_comes_first_in_sentences(results: Results) -> None:
    assert phrases.answers(results, "accuracy") == [
        "good is better than plain by 20.0 points (95 % interval 15.0 to 25.0).",
        "bad is worse than plain by 20.0 points (95 % interval 15.0 to 25.0).",
        "The data cannot tell same from plain (+1.0 points, −4.0 to +6.0): about 7 further seeds "
        "would be needed.",
    ]
    assert phrases.answers(results, "val/loss") == ["Nothing can be compared with plain yet."]
    change(results, 3, further_seeds=None)
    assert phrases.answers(results, "accuracy")[-1].endswith(
        ": the interval over seeds holds zero."
    )


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["better"], ""),
        (["cannot tell"] * 2, "The data cannot tell either of the 2 others from plain."),
        (["cannot tell"] * 3, "The data cannot tell any of the 3 others from plain."),
        (["worse"] * 2, "Both others are worse than plain."),
        (["worse"] * 3, "All of the 3 others are worse than plain."),
        (["better", "worse"], "Of the 2 others, 1 is better than plain and 1 is worse."),
        (["worse", "cannot tell"],
         "Of the 2 others, 1 is worse than plain; the data cannot tell of 1."),
        (["better", "better", "cannot tell"],
         "Of the 3 others, 2 are better than plain; the data cannot tell of 1."),
    ],
)  # fmt: skip
def test_one_sentence_says_it_of_all(results: Results, verdicts: list[str], said: str) -> None:
    results.cells[1:] = [
        make_cell(f"cell {k}", 0.5, 100, {"accuracy": judged(0.1, verdict)})
        for k, verdict in enumerate(verdicts)
    ]
    assert phrases.headline(results, "accuracy") == said


def test_without_an_interval_there_is_none_in_the_sentence(results: Results) -> None:
    for cell in (1, 2, 3):
        change(results, cell, interval=None)
    said = phrases.answers(results, "accuracy")
    assert said[0] == "good is better than plain by 20.0 points."
    assert "(+1.0 points)" in said[-1]


def test_all_three_say_the_same(results: Results, tmp_path: Path) -> None:
    page, text = text_of(render("html", results, tmp_path)), render("markdown", results, tmp_path)
    for said in (
        "Which block?", *phrases.answers(results, "accuracy"), "All cells have the FLOPs of the",
        "70.0 %", "+20.0 points", "1.23 M", "240 G", "c0ffee", "whole", "f1",
    ):  # fmt: skip
        assert said in page, said
        assert said in text, said
    assert "Not complete" not in page + text


def test_what_is_missing_is_said_before_anything_else(results: Results, tmp_path: Path) -> None:
    failed = FailedRun(run="abc", cell="good", seed=1, error="fit: no memory")
    results.status = Status(runs=6, done=3, failed=[failed], missing=2)
    said = "1 of 6 runs failed and 2 of 6 runs are not done yet"
    page, text = text_of(render("html", results, tmp_path)), render("markdown", results, tmp_path)
    assert page.index(said) < page.index("The answer")
    assert text.index(said) < text.index("good is better")
    assert "fit: no memory" in page
    assert "fit: no memory" in text


def test_the_csv_has_a_row_for_each_run_and_no_formula(results: Results, tmp_path: Path) -> None:
    results.cells[1].name = "=1+1, |x|"
    rows = list(csv.DictReader(io.StringIO(render("csv", results, tmp_path))))
    assert len(rows) == 8
    assert float(rows[3]["accuracy"]) == 0.7 + 0.01
    assert (rows[2]["block"], rows[2]["cell"]) == ("good", "'=1+1, |x|")
    assert rows[0]["parameters"] == "1234567"


def test_intervals_are_explained_as_what_they_are(results: Results, tmp_path: Path) -> None:
    """They hold the mean in 95 of 100 repetitions; other seeds need not be inside."""
    page = text_of(render("html", results, tmp_path))
    assert "Of such intervals, 95 in 100 hold the true mean." in page
    assert "inside 95 times" not in page


@pytest.mark.parametrize(
    ("values", "limits", "ends"),
    [
        ((0.0, 0.0), (0, 1), (0, 1)),  # not from -100 to 100 %
        ((1.0, 1.0), (0, 1), (0.9, 1)),
        ((0.2, 0.6), (0, 1), (0.2, 0.6)),
        ((0.0, 0.0), (0, None), (0, 1)),
        ((0.0, 0.0), (None, None), (-1, 1)),
    ],
)
def test_axes_end_at_the_limits_of_the_metric(
    results: Results, values: Any, limits: Any, ends: tuple[float, float]
) -> None:
    results.metrics["accuracy"] = replace(SHARE, limits=limits)
    results.cells = results.cells[:2]
    for cell, value in zip(results.cells, values, strict=True):
        cell.scores["accuracy"] = Estimate(value, None, "", 2, 4)
        for run in cell.runs:
            run.scores["accuracy"] = [(100, value)]
    axis = make_axis(results, "accuracy")
    assert (axis.low, axis.high) == pytest.approx(ends)


def test_hostile_names_stay_text(results: Results, tmp_path: Path) -> None:
    nasty = '<script>alert("x")</script> | `'
    results.question = results.cells[1].name = nasty
    page = render("html", results, tmp_path)
    assert "<script>alert" not in page
    assert nasty in html.unescape(page)
    table = [
        line
        for line in render("markdown", results, tmp_path).splitlines()
        if line.startswith("| &lt;")
    ]
    assert table
    assert all("\\|" in line for line in table)


def test_curves_are_drawn_against_steps_operations_and_seconds(results: Results) -> None:
    for against, scale in {"steps": 1.0, "FLOPs": 2e9, "seconds": 0.5}.items():
        (chart,) = make_curves(results, against)
        assert [series.label for series in chart.series] == ["plain", "good", "bad", "same"]
        assert [series.last for series in chart.series][:2] == pytest.approx([0.55, 0.35])
        unit = {"steps": 1.0, "FLOPs": 1e9, "seconds": 1.0}[against]
        (zero, at_zero), *_, (end, at_end) = chart.x_ticks
        per_pixel = float(at_end.rstrip("G")) * unit / (end - zero)
        assert at_zero == "0"
        # The longest training, of 120 steps, is as wide as the chart.
        assert per_pixel * (charts.WIDTH - charts.LEFT - charts.RIGHT) == pytest.approx(
            120 * scale, rel=0.01
        )
    results.cells[0].costs.seconds_per_step = None
    (chart,) = make_curves(results, "seconds")
    assert "plain" not in [series.label for series in chart.series]


def test_curves_are_shaded_from_the_lowest_seed_to_the_highest(results: Results) -> None:
    (chart,) = make_curves(results, "steps")
    assert all(series.band for series in chart.series)
    for cell in results.cells:
        del cell.runs[1]
    (chart,) = make_curves(results, "steps")
    assert not any(series.band for series in chart.series)


def test_where_there_is_no_room_the_baseline_and_the_best_are_shown(
    results: Results,
) -> None:
    cells = [make_cell(f"cell {k}", (k * 37 % 100) / 100, 100, {}) for k in range(100)]
    results.cells = [*cells, results.cells[0]]
    shown = [cell.name for cell in results.best_cells(4)]
    best = [f"cell {k}" for k in range(100) if k * 37 % 100 >= 97]
    assert shown == ["plain", *best]
    ours = colours(results)
    drawn = [cell.name for cell in results.best_cells(12)]
    assert len({ours[name] for name in drawn}) == 12
    results.metrics["accuracy"] = replace(SHARE, higher_is_better=False)
    assert "cell 0" in [cell.name for cell in results.best_cells(2)]


def test_effects_of_crossed_axes_have_their_tables(results: Results, tmp_path: Path) -> None:
    main = Effect(("block",), ("good",), ("plain",), 1, judged(0.1, "better"))
    pair = Effect(("a", "b"), ("2", "y"), ("1", "x"), 1, judged(-0.3, "cannot tell", 3))
    results.main_effects, results.interactions = {"accuracy": [main]}, {"accuracy": [pair]}
    page = text_of(render("html", results, tmp_path))
    for text in (page, render("markdown", results, tmp_path)):
        assert "block: good against plain" in text
        assert "a: 2 against 1 with b: y against x" in text
    assert "about 3 further seeds would be needed" in page


def test_a_thousand_runs_make_a_page_of_bounded_size(results: Results, tmp_path: Path) -> None:
    cell = results.cells[1]
    results.cells += [replace(copy.deepcopy(cell), name=f"cell {k}") for k in range(500)]
    page = render("html", results, tmp_path)
    assert len(page) < 4e6
    assert page.count("<path d=") <= 12 * 3
    assert "Drawn are the baseline and the 11 best others by accuracy." in page
    assert "491 more</summary>" in page, "sentences of 503 cells, 12 of them at once"


def test_a_browser_shows_it_plays_the_videos_and_filters(
    results: Results, tmp_path: Path, chromium: str
) -> None:
    for k in range(2):
        frames = np.full((8, 32, 32, 3), 60 + 90 * k, dtype=np.uint8)
        write_video(tmp_path / f"{k}.mp4", _pixels(frames), 8)
    page = render("html", results, tmp_path)
    dom = loaded(chromium, page, tmp_path)
    assert 'data-videos="8"' in dom, "two prompts of four cells, of the first seed"
    assert 'data-decoded="8"' in dom
    assert shown_parts(dom) == ["steps", "0"]
    assert cells_of(dom) == ["plain", "good", "bad", "same"]

    clicks = "".join(
        f"document.querySelector({selector!r}).click();"
        for selector in (
            "[data-value=FLOPs]",
            "[data-filter=group][data-value='1']",
            "table.sorted th:nth-child(3) button",
        )
    )
    page = page.replace("</body>", f"<script>{clicks}</script></body>")
    dom = loaded(chromium, page, tmp_path)
    assert shown_parts(dom) == ["FLOPs", "1"]
    assert 'data-decoded="8"' in dom, "those of the other seed"
    assert cells_of(dom) == ["good", "same", "plain", "bad"]


def test_nothing_is_cut_off_where_a_window_is_1200_wide(
    results: Results, tmp_path: Path, chromium: str
) -> None:
    """The verdict is right of the cell's name, and the tables need not be scrolled."""
    for cell in results.cells:
        cell.name = f"prediction={cell.name}, conditioning=cross_attention"
    results.baseline = results.cells[0].name
    page = render("html", results, tmp_path)
    script = (
        "const wide = [...document.querySelectorAll('.wide:has(.verdict)')];"
        "document.body.dataset.over = wide.map(w => w.scrollWidth - w.clientWidth).join();"
        "document.body.dataset.columns = wide.flatMap(w => [...w.querySelectorAll('.verdict')]"
        ".map(v => v.closest('td').cellIndex)).join();"
    )
    page = page.replace("</body>", f"<script>{script}</script></body>")
    dom = loaded(chromium, page, tmp_path, width=1200)
    assert 'data-columns="1,1,1"' in dom
    assert 'data-over="0"' in dom


def loaded(chromium: str, page: str, folder: Path, width: int = 1400) -> str:
    """The document as a browser has it, once its scripts ran without an error."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    found = subprocess.run(
        [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         f"--window-size={width},3600", "--virtual-time-budget=20000",
         f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    assert not [line for line in found.stderr.splitlines() if "CONSOLE" in line]
    return found.stdout


def shown_parts(dom: str) -> list[str]:
    """Which curves and which seed's videos are not hidden."""
    parts = re.findall(r'<div class="[^"]*" data-(?:score|group)="(\w+)"([^>]*)>', dom)
    return [name for name, rest in parts if "hidden" not in rest]


def cells_of(dom: str) -> list[str]:
    """Names down the first table."""
    table = dom[dom.index("<tbody>") : dom.index("</tbody>")]
    return re.findall(r'<th scope="row">.*?</i>(\w+)', table)


def _pixels(frames: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1
