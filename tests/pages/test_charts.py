"""Charts stay in their box, whatever the curve."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from curves import write_curves

from vidiff.pages import charts
from vidiff.pages.runs import read_curves


def test_curves_are_read_from_event_files_and_stages_share_a_chart(tmp_path: Path) -> None:
    write_curves(tmp_path / "logs")
    curves = read_curves(tmp_path)
    assert len(curves["train/loss"]) == 100
    assert curves["val/loss"][-1] == (999, pytest.approx(math.exp(-999 / 200) + 0.02))
    (chart,) = charts.make_charts(curves)
    assert [series.label for series in chart.series] == ["train/loss", "val/loss"]
    for series in chart.series:
        xs, ys = corners(series.path)
        assert all(0 <= x <= charts.WIDTH for x in xs)
        assert all(0 <= y <= charts.HEIGHT for y in ys)
        assert ys[0] < ys[-1]  # losses fall, and y points downwards


@pytest.mark.parametrize(
    "curve",
    [
        [(0, 1.0), (1, 1.0)],
        [(0, -5.0), (10, 5.0)],
        [(5, 0.0), (5, 0.0)],
        [(k, float(k % 7) * 1e-6) for k in range(10_000)],
    ],
)
def test_charts_of_odd_curves(curve: list[tuple[int, float]]) -> None:
    chart = charts.make_chart("odd", {"odd": curve})
    assert chart.series[0].path.count("L") <= charts.MAX_POINTS
    assert chart.y_ticks
    assert "nan" not in chart.series[0].path


def test_bands_go_round_their_curves() -> None:
    mean = [(k, 5.0) for k in range(5)]
    edges = ([(k, 4.0) for k in range(5)], [(k, 6.0 + k) for k in range(5)])
    chart = charts.make_chart("loss", {"a": mean, "b": mean}, bands={"a": edges})
    with_band, without = chart.series
    assert without.band == ""
    xs, ys = corners(with_band.band)
    assert xs == [*xs[:5], *reversed(xs[:5])]
    _, (line, *_) = corners(with_band.path)
    assert all(y > line for y in ys[:5])
    assert all(y < line for y in ys[5:])
    assert min(ys) == charts.TOP
    assert max(ys) == charts.HEIGHT - charts.BOTTOM


@pytest.mark.parametrize(
    ("most", "labels"),
    [(8, ["0", "2", "4", "6", "8"]), (4e5, ["0", "100k", "200k", "300k", "400k"]),
     (1e13, ["0", "2.5T", "5T", "7.5T", "10T"])],
)  # fmt: skip
def test_ticks_are_short(most: float, labels: list[str]) -> None:
    chart = charts.make_chart("loss", {"a": [(0, 1.0), (most, 2.0)]})
    assert [label for _, label in chart.x_ticks] == labels


def corners(path: str) -> tuple[list[float], list[float]]:
    numbers = [float(number) for number in re.findall(r"[\d.]+", path)]
    return numbers[::2], numbers[1::2]
