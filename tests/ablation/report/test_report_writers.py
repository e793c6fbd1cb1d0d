"""Every format has what the results have: files are read back by a reader of their kind."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from finished_runs import render
from made_results import LOSS, SHARE, make_cell
from PIL import Image

from vidiff.ablation.judge.schema import Results
from vidiff.ablation.report.content import Content
from vidiff.ablation.report.figure import Dot, Text, make_figures, scores_figure
from vidiff.ablation.report.writers import CSV, PNG, SVG
from vidiff.ablation.report.writers.latex import best, escape
from vidiff.ablation.report.writers.png import SCALE
from vidiff.registry import list_components

NASTY = r"50% of $x_1 & #2 ~ {a}^\b <i>"


def tabulars(text: str) -> list[tuple[str, list[list[str]]]]:
    """The columns and the rows of cells of each table; braces and environments are balanced."""
    bare = re.sub(r"\\[\\{}%&$#_]", "", re.sub(r"^%.*$", "", text, flags=re.MULTILINE))
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    opened: list[str] = []
    for which, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        assert which == "begin" or opened.pop() == name
        opened += [name] if which == "begin" else []
    assert not opened
    found = []
    for columns, body in re.findall(
        r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.S
    ):
        body = re.sub(r"\\(toprule|midrule|bottomrule)", "", body)
        rows = [row.strip() for row in re.split(r"\\\\", body) if row.strip()]
        found.append((columns, [re.split(r"(?<!\\)&", row) for row in rows]))
    return found


def test_latex_has_a_cell_for_each_column(results: Results, tmp_path: Path) -> None:
    results.question = results.cells[1].name = NASTY
    text = render("latex", results, tmp_path)
    scores, costs = tabulars(text)
    assert [columns for columns, _ in (scores, costs)] == ["lrr", "l" + "r" * 9]
    for columns, rows in (scores, costs):
        assert len(rows) == 5
        assert {len(row) for row in rows} == {len(columns)}
    assert escape(NASTY) in text
    assert r"70.0} \pm 2.0$" in text
    assert rows[1][1].strip() == "1.23 M"
    assert r"accuracy (\%) $\uparrow$" in text
    assert r"val/loss $\downarrow$" in text


def test_latex_is_bold_where_a_verdict_holds(results: Results, tmp_path: Path) -> None:
    assert best(results, "accuracy") == "good"
    assert best(results, "val/loss") is None, "nothing was compared"
    assert re.findall(r"mathbf\{([^}]*)\}", render("latex", results, tmp_path)) == ["70.0"]
    good = results.cells[1].differences
    good["accuracy"] = replace(good["accuracy"], verdict="cannot tell")
    assert best(results, "accuracy") is None
    del results.cells[1]
    assert best(results, "accuracy") is None, "same has the best mean, and cannot be told apart"
    del results.cells[2]
    assert best(results, "accuracy") == "plain", "the only other is worse"


def test_latex_shows_both_sides_of_an_uneven_interval(
    results: Results,
    tmp_path: Path,
) -> None:
    cell = results.cells[0]
    cell.scores["accuracy"] = replace(cell.scores["accuracy"], interval=(0.4, 0.55))
    cell.scores["val/loss"] = replace(cell.scores["val/loss"], value=1.5e-7, interval=None)
    text = render("latex", results, tmp_path)
    tabulars(text)
    assert r"$50.0\,_{-10.0}^{+5.0}$" in text
    assert r"$1.5 \cdot 10^{-7}$" in text


def test_cells_are_a_table_too(results: Results, tmp_path: Path) -> None:
    data = CSV().render(Content(results, tmp_path))["cells.csv"]
    rows = list(csv.DictReader(io.StringIO(str(data))))
    assert [row["cell"] for row in rows] == ["plain", "good", "bad", "same"]
    good = rows[1]
    assert float(good["accuracy"]) == 0.7
    assert (float(good["accuracy_low"]), float(good["accuracy_high"])) == (0.7 - 0.02, 0.7 + 0.02)
    assert (good["accuracy_verdict"], good["accuracy_p"]) == ("better", "0.03")
    assert (good["val/loss_verdict"], good["parameters"]) == ("", "1234567")


def test_svg_and_png_are_of_the_same_figure(results: Results, tmp_path: Path) -> None:
    results.cells[1].name = results.axes["block"][1] = NASTY
    content = Content(results, tmp_path)
    vector, image = SVG().render(content), PNG().render(content)
    figures = make_figures(results)
    assert [*figures] == ["scores", "curves"]
    for name, figure in figures.items():
        root = ElementTree.fromstring(vector[f"{name}.svg"])
        opened = Image.open(io.BytesIO(bytes(image[f"{name}.png"])))  # type: ignore[arg-type]
        assert abs(opened.width - SCALE * figure.width) <= 1
        assert float(root.get("width", "")) == pytest.approx(figure.width, abs=0.01)
        assert NASTY in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        circles = list(root.iter("{http://www.w3.org/2000/svg}circle"))
        dots = [shape for shape in figure.shapes if isinstance(shape, Dot)]
        assert len(circles) == len(dots)
        for circle, dot in zip(circles, dots, strict=True):
            x, y = float(circle.get("cx", "")), float(circle.get("cy", ""))
            assert (x, y) == pytest.approx(dot.at, abs=0.01)
            if dot is dots[-1]:  # others may be under it
                colour = "#{:02x}{:02x}{:02x}".format(
                    *opened.convert("RGB").getpixel((int(SCALE * x), int(SCALE * y)))  # type: ignore[misc]
                )
                assert colour == dot.colour == circle.get("fill")


def test_a_figure_has_means_in_the_order_of_their_values(results: Results) -> None:
    figure = scores_figure(results)
    dots = [s for s in figure.shapes if isinstance(s, Dot) and s.radius > 3]
    by_accuracy = dots[: len(results.cells)]
    places = [dot.at[0] for dot in by_accuracy]
    assert places[2] < places[0] < places[3] < places[1], "bad, plain, same, good"
    for shape in figure.shapes:
        if isinstance(shape, Text) and shape.anchor == "start":
            assert shape.at[0] < figure.width


def test_a_metric_that_is_nowhere_has_no_panel(results: Results) -> None:
    height = scores_figure(results).height
    results.metrics["fvd"] = LOSS
    assert scores_figure(results).height == height


def test_the_page_links_the_files(results: Results, tmp_path: Path) -> None:
    page = render("html", results, tmp_path, files=["results.tex", "scores.svg"])
    assert '<a href="results.tex">results.tex</a>' in page
    assert "The same as" not in render("html", results, tmp_path)
    assert {"csv", "html", "latex", "markdown", "png", "svg"} <= {*list_components("report")}


@pytest.mark.parametrize("format_", ["html", "markdown"])
@pytest.mark.parametrize(
    ("value", "higher", "said"),
    [
        (0.0, True, "All runs are at a floor: 0.0 % is the least accuracy that is possible"),
        (1.0, True, "All runs are at a ceiling: 100.0 % is the largest accuracy"),
        (0.0, False, "at a floor: 0.0 % is the least accuracy that is possible, so it cannot tell "
         "cells apart; ask something harder."),
        (0.25, True, ""),
    ],
)  # fmt: skip
def test_floor_and_ceiling_are_named(
    results: Results,
    tmp_path: Path,
    format_: str,
    value: float,
    higher: bool,
    said: str,
) -> None:
    results.metrics["accuracy"] = replace(SHARE, higher_is_better=higher)
    results.cells = [make_cell(name, 0.5, 100, {}, name == "plain") for name in ("plain", "other")]
    for cell in results.cells:
        for run in cell.runs:
            run.scores["accuracy"] = [(100, value)]
    text = render(format_, results, tmp_path)
    assert said in text if said else "All runs are at" not in text
