"""The report says what the results say, to people who have not seen the code."""

from __future__ import annotations

import copy
import csv
import html
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidiff.ablation.report import render_csv, render_html, render_markdown, words
from vidiff.ablation.report.page import make_curves
from vidiff.video import write_video

SHARE = {"higher_is_better": True, "unit": "share", "summary": "Right videos.", "per_prompt": True}
LOSS = {"higher_is_better": False, "unit": None, "summary": "", "per_prompt": False}


def judged(difference: float, verdict: str, further: int | None = None) -> dict[str, Any]:
    return {
        "difference": difference, "interval_95": [difference - 0.05, difference + 0.05],
        "p": 0.01, "p_holm": 0.03, "verdict": verdict, "further_seeds": further,
        "reason": "The interval over seeds holds zero.", "num_seeds": 2, "num_pairs": 8,
    }  # fmt: skip


def make_cell(name: str, value: float, steps: int, compared: dict[str, Any]) -> dict[str, Any]:
    runs = [
        {
            "id": f"{name[:3]}{seed}", "seed": seed, "state": "done", "error": "", "attempts": 1,
            "figures": {"accuracy": value + 0.01 * seed, "val/loss": 1 - value}, "step": steps,
            "seconds_per_step": 0.5, "seconds": steps / 2,
            "curves": {"val/loss": [[s, 1 - value + 0.1 * seed] for s in (0, steps)]},
            "videos": [
                {"prompt": f"prompt {k}", "path": f"{k}.mp4", "right": k == 0} for k in (0, 1)
            ],
        }
        for seed in (0, 1)
    ]  # fmt: skip
    figure = {
        "value": value,
        "interval_95": [value - 0.02, value + 0.02],
        "method": "",
        "num_seeds": 2,
    }
    return {
        "name": name, "choices": {"block": name}, "is_baseline": not compared, "solved": {"w": 3},
        "equality": 1.01, "runs": runs, "differences": compared,
        "figures": {"accuracy": figure, "val/loss": figure | {"value": 1 - value}},
        "costs": {"parameters": 1_234_567, "flops_per_step": 2e9, "steps": steps,
                  "flops": 2e9 * steps, "seconds_per_step": 0.5, "seconds": 90.0,
                  "memory_bytes": 2**30, "memory_of": "process"},
    }  # fmt: skip


@pytest.fixture
def results() -> dict[str, Any]:
    return {
        "format": "vidiff ablation 1", "name": "blocks", "question": "Which block?",
        "created": "2026-01-02T03:04:05+00:00", "file": "blocks/ablation.yaml",
        "status": {"runs": 6, "done": 6, "failed": [], "missing": 0},
        "axes": {"block": ["plain", "good", "bad", "same"]}, "baseline": "plain", "seeds": [0, 1],
        "match": {"equal": "flops", "by": "trainer.max_steps"}, "budget": {"hours": None},
        "metrics": {"accuracy": SHARE, "val/loss": LOSS},
        "cells": [
            make_cell("plain", 0.5, 100, {}),
            make_cell("good", 0.7, 120, {"accuracy": judged(0.2, "better")}),
            make_cell("bad", 0.3, 80, {"accuracy": judged(-0.2, "worse")}),
            make_cell("same", 0.51, 100, {"accuracy": judged(0.01, "cannot tell", 7)}),
        ],
        "main_effects": {}, "interactions": {},
        "provenance": {
            "runs": ["0" * 64], "source": {"commit": "c0ffee", "changed": True},
            "versions": {"torch": "2"}, "hardware": {"num_cpus": 2}, "data": {"class": "Shapes"},
            "evaluation_protocol": {"name": "whole", "fingerprint": "f1"},
            "prompts": {"number": 2, "sha256": "a" * 64}, "sampling": {"seed": 1},
            "evaluation": {"metrics": "accuracy"}, "launcher": "local",
        },
    }  # fmt: skip


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_answer_comes_first_in_sentences(results: dict[str, Any]) -> None:
    assert words.answers(results, "accuracy") == [
        "good is better than plain by 20.0 points (95 % interval 15.0 to 25.0).",
        "bad is worse than plain by 20.0 points (95 % interval 15.0 to 25.0).",
        "The data cannot tell same from plain (+1.0 points, −4.0 to +6.0): about 7 further seeds "
        "would be needed.",
    ]
    assert words.answers(results, "val/loss") == ["Nothing can be compared with plain yet."]
    results["cells"][3]["differences"]["accuracy"]["further_seeds"] = None
    assert words.answers(results, "accuracy")[-1].endswith("The interval over seeds holds zero.")


def test_all_three_say_the_same(results: dict[str, Any], tmp_path: Path) -> None:
    page, text = text_of(render_html(results, tmp_path)), render_markdown(results)
    for said in (
        "Which block?", *words.answers(results, "accuracy"), "All cells have the FLOPs of the",
        "70.0 %", "+20.0 points", "1.23 M", "240 G", "c0ffee", "whole", "f1",
    ):  # fmt: skip
        assert said in page, said
        assert said in text, said
    assert "Not complete" not in page + text


def test_what_is_missing_is_said_before_anything_else(
    results: dict[str, Any], tmp_path: Path
) -> None:
    failed = {"run": "abc", "cell": "good", "seed": 1, "error": "fit: no memory"}
    results["status"] = {"runs": 6, "done": 3, "failed": [failed], "missing": 2}
    said = "1 of 6 runs failed and 2 of 6 runs are not done yet"
    page, text = text_of(render_html(results, tmp_path)), render_markdown(results)
    assert page.index(said) < page.index("The answer")
    assert text.index(said) < text.index("good is better")
    assert "fit: no memory" in page
    assert "fit: no memory" in text


def test_the_csv_has_a_row_for_each_run_and_no_formula(results: dict[str, Any]) -> None:
    results["cells"][1]["name"] = "=1+1, |x|"
    rows = list(csv.DictReader(io.StringIO(render_csv(results))))
    assert len(rows) == 8
    assert float(rows[3]["accuracy"]) == 0.7 + 0.01
    assert (rows[2]["block"], rows[2]["cell"]) == ("good", "'=1+1, |x|")
    assert rows[0]["parameters"] == "1234567"


def test_hostile_names_stay_text(results: dict[str, Any], tmp_path: Path) -> None:
    nasty = '<script>alert("x")</script> | `'
    results["question"] = results["cells"][1]["name"] = nasty
    page = render_html(results, tmp_path)
    assert "<script>alert" not in page
    assert nasty in html.unescape(page)
    table = [line for line in render_markdown(results).splitlines() if line.startswith("| &lt;")]
    assert table
    assert all("\\|" in line for line in table)


def test_curves_are_drawn_against_steps_operations_and_seconds(results: dict[str, Any]) -> None:
    for against, scale in {"steps": 1.0, "FLOPs": 2e9, "seconds": 0.5}.items():
        (chart,) = make_curves(results, against)
        assert [series.label for series in chart.series] == ["plain", "good", "bad", "same"]
        assert [series.last for series in chart.series][:2] == pytest.approx([0.55, 0.35])
        ends = {float(label.rstrip("k")) for _, label in chart.x_ticks}
        most = 120 * scale / (1000 if max(120 * scale, 0) >= 1000 else 1)
        assert max(ends) <= most * 1.001
    results["cells"][0]["costs"]["seconds_per_step"] = None
    (chart,) = make_curves(results, "seconds")
    assert "plain" not in [series.label for series in chart.series]


def test_effects_of_crossed_axes_have_their_tables(results: dict[str, Any], tmp_path: Path) -> None:
    main = {"axis": "block", "value": "good", "against": "plain", **judged(0.1, "better")}
    pair = {"axes": ["a", "b"], "values": ["2", "y"], "against": ["1", "x"],
            **judged(-0.3, "cannot tell", 3)}  # fmt: skip
    results |= {"main_effects": {"accuracy": [main]}, "interactions": {"accuracy": [pair]}}
    page = text_of(render_html(results, tmp_path))
    for text in (page, render_markdown(results)):
        assert "block: good against plain" in text
        assert "a: 2 against 1 with b: y against x" in text
    assert "about 3 further seeds would be needed" in page


def test_a_thousand_runs_make_a_page_of_bounded_size(
    results: dict[str, Any], tmp_path: Path
) -> None:
    cell = results["cells"][1]
    results["cells"] += [copy.deepcopy(cell) | {"name": f"cell {k}"} for k in range(500)]
    page = render_html(results, tmp_path)
    assert len(page) < 4e6
    assert page.count("<path d=") <= 12 * 3


def test_a_browser_shows_it_and_plays_the_videos(results: dict[str, Any], tmp_path: Path) -> None:
    browser = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    if browser is None:
        pytest.skip("there is no Chromium here")
    for k in range(2):
        frames = np.full((8, 32, 32, 3), 60 + 90 * k, dtype=np.uint8)
        write_video(tmp_path / f"{k}.mp4", _pixels(frames), 8)
    page = tmp_path / "report.html"
    page.write_text(render_html(results, tmp_path), encoding="utf-8")
    found = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         "--virtual-time-budget=8000", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         f"file://{page}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert 'data-videos="8"' in found.stdout, "two prompts of four cells, of the first seed"
    assert 'data-decoded="8"' in found.stdout
    errors = [line for line in found.stderr.splitlines() if "CONSOLE" in line]
    assert not errors
    hidden = re.findall(r'<div class="charts" data-figure="(\w+)"( hidden="")?', found.stdout)
    assert [bool(h) for _, h in hidden] == [False, True, True]


def _pixels(frames: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(frames).permute(3, 0, 1, 2).float() / 127.5 - 1
