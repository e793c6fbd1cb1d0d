"""Figures of an ablation as shapes, which the writers of SVG and PNG draw alike.

Lengths are in pixels of a figure of its own size, from the upper left corner.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from vidiff.ablation.report import phrases
from vidiff.ablation.report.page import BAR, INSIDE, colours, make_axis, make_curves
from vidiff.pages import charts

if TYPE_CHECKING:
    from vidiff.ablation.judge.schema import Results


Point = tuple[float, float]

MARGIN, ROW, TITLE = 16, 22, 34
LETTER = 7.0
"""Width of a letter of 12 pixels, roughly."""

STRETCH = 1.6
"""How much wider scores are drawn than on the page."""


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: Sequence[Point]
    colour: str
    width: float = 1.7
    opacity: float = 1.0


@dataclass(frozen=True)
class Area:
    """What is inside of points."""

    points: Sequence[Point]
    colour: str
    opacity: float = 0.13


@dataclass(frozen=True)
class Dot:
    """A disc, or a circle with paper inside."""

    at: Point
    radius: float
    colour: str
    is_filled: bool = True


@dataclass(frozen=True)
class Text:
    """A line of text, whose base line begins, has its middle, or ends at a point."""

    at: Point
    text: str
    colour: str
    size: float = 12
    anchor: Literal["start", "middle", "end"] = "start"
    is_bold: bool = False


Shape = Line | Area | Dot | Text


@dataclass
class Figure:
    """Shapes on white paper, those drawn last on top."""

    title: str
    width: float
    height: float
    shapes: list[Shape] = field(default_factory=list)


def make_figures(results: Results) -> dict[str, Figure]:
    """What there is to draw, by the name of a file without its ending."""
    curves = curves_figure(results)
    return {"scores": scores_figure(results)} | ({"curves": curves} if curves else {})


def scores_figure(results: Results) -> Figure:
    """Of each metric the mean, the interval and the seeds of every cell, as the page has them."""
    ink = _inks(results)
    names = max(len(cell.name) for cell in results.cells) * LETTER
    left, wide = MARGIN + names + 14, STRETCH * BAR
    figure = Figure(results.question, left + wide, MARGIN)
    for name, metric in results.metrics.items():
        if not any(name in cell.scores for cell in results.cells):
            continue
        axis, top = make_axis(results, name), figure.height
        better = "higher" if metric.higher_is_better else "lower"
        title = f"{name} ({better} is better)"
        figure.shapes.append(Text((MARGIN, top + 14), title, ink.text, 13, is_bold=True))
        for number, cell in enumerate(results.cells):
            y = top + TITLE + ROW * number
            colour = ink.of[cell.name]
            score, place = cell.scores.get(name), axis.places.get(cell.name)
            figure.shapes.append(Text((MARGIN, y + 4), cell.name, ink.text))
            figure.shapes.append(Line([(left, y), (left + wide, y)], ink.line, 1))
            if score is None or place is None:
                continue
            ends = [(left + STRETCH * x, y) for x in place.ends]
            figure.shapes += [Line(ends, colour, 5, 0.38)] if ends else []
            figure.shapes += [Dot((left + STRETCH * x, y), 2, colour, False) for x in place.seeds]
            figure.shapes.append(Dot((left + STRETCH * place.dot, y), 3.8, colour))
            text = phrases.shown(score.value, metric)
            if interval := phrases.between(score.interval, metric):
                text += f"  [{interval}]"
            figure.shapes.append(Text((left + wide + 12, y + 4), text, ink.text))
            figure.width = max(figure.width, left + wide + 12 + len(text) * LETTER + MARGIN)
        bottom = top + TITLE + ROW * len(results.cells)
        for x, value in ((INSIDE, axis.low), (BAR - INSIDE, axis.high)):
            at, label = (left + STRETCH * x, bottom + 2), phrases.shown(value, metric)
            figure.shapes.append(Text(at, label, ink.soft, 11, "middle"))
        figure.height = bottom + ROW
    return figure


def curves_figure(results: Results) -> Figure | None:
    """Learning curves against steps, as the page has them; None where there are none."""
    drawn = make_curves(results, "steps")
    if not drawn:
        return None
    ink = _inks(results)
    num_columns = min(len(drawn), 2)
    width, height = charts.WIDTH + MARGIN, charts.HEIGHT + 2 * TITLE
    figure = Figure(results.question, num_columns * width + MARGIN, MARGIN)
    for number, chart in enumerate(drawn):
        x = MARGIN + number % num_columns * width
        y = MARGIN + number // num_columns * height
        figure.shapes += [_moved(shape, x, y + 26) for shape in _chart(chart, ink)]
    figure.height += -(-len(drawn) // num_columns) * height
    shown = dict.fromkeys(series.label for chart in drawn for series in chart.series)
    for number, name in enumerate(shown):
        middle = figure.height + ROW * number
        figure.shapes.append(Line([(MARGIN, middle), (MARGIN + 16, middle)], ink.of[name], 3))
        figure.shapes.append(Text((MARGIN + 24, middle + 4), name, ink.text))
    figure.height += ROW * len(shown)
    return figure


def _chart(chart: charts.Chart, ink: Inks) -> Iterator[Shape]:
    """A chart in a box of its own, with its title above."""
    right, bottom = charts.WIDTH - charts.RIGHT, charts.HEIGHT - charts.BOTTOM
    yield Text((0, -12), chart.title, ink.text, 13, is_bold=True)
    for y, label in chart.y_ticks:
        yield Line([(charts.LEFT, y), (right, y)], ink.line, 1)
        yield Text((charts.LEFT - 6, y + 4), label, ink.soft, 11, "end")
    for x, label in chart.x_ticks:
        anchor: Literal["middle", "end"] = "end" if x > right - 12 else "middle"
        yield Text((x, bottom + 17), label, ink.soft, 11, anchor)
    yield Text((right, bottom + 32), chart.x, ink.soft, 11, "end")
    for series in chart.series:
        if series.edge:
            yield Area(series.edge, ink.of[series.label])
    for series in chart.series:
        yield Line(series.corners, ink.of[series.label])
        yield from (Dot(at, 2.6, ink.of[series.label]) for at in series.dots)


def _moved(shape: Shape, x: float, y: float) -> Shape:
    if isinstance(shape, Line | Area):
        return replace(shape, points=[(a + x, b + y) for a, b in shape.points])
    return replace(shape, at=(shape.at[0] + x, shape.at[1] + y))


@dataclass(frozen=True)
class Inks:
    """Colours of text, of fainter text, of rules, and of each cell."""

    text: str
    soft: str
    line: str
    of: dict[str, str]


def _inks(results: Results) -> Inks:
    """The colours that the page has in its light style."""
    style = (files("vidiff.pages") / "parts" / "style.css").read_text(encoding="utf-8")
    known = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style.partition("@media")[0]))
    cells = {cell: known[name] for cell, name in colours(results).items()}
    text, soft, line = map(known.__getitem__, ("ink", "soft", "line"))
    return Inks(text, soft, line, cells)
