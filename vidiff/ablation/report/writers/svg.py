"""``scores.svg`` and ``curves.svg``: the figures of the page, each a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from xml.etree import ElementTree

from vidiff.ablation.report.figure import Area, Dot, Figure, Line, Text
from vidiff.ablation.report.writers.drawn import DrawnReport
from vidiff.registry import register

FONT = "system-ui, 'Helvetica Neue', Helvetica, Arial, sans-serif"


@register("svg")
class SVG(DrawnReport):
    """Scores with their intervals, and learning curves, as vector graphics."""

    ending: ClassVar = "svg"

    def draw(self, figure: Figure) -> bytes:
        return to_svg(figure)


def to_svg(figure: Figure) -> bytes:
    """A figure as an SVG document."""
    width, height = _number(figure.width), _number(figure.height)
    size, box = {"width": width, "height": height}, f"0 0 {width} {height}"
    root = ElementTree.Element(
        "svg", size, xmlns="http://www.w3.org/2000/svg", viewBox=box, **{"font-family": FONT}
    )
    ElementTree.SubElement(root, "title").text = figure.title
    ElementTree.SubElement(root, "rect", size, fill="#ffffff")
    for shape in figure.shapes:
        if isinstance(shape, Line):
            ElementTree.SubElement(root, "polyline", {
                "points": _points(shape.points), "fill": "none", "stroke": shape.colour,
                "stroke-width": _number(shape.width), "stroke-linecap": "round",
                "stroke-linejoin": "round", "stroke-opacity": _number(shape.opacity),
            })  # fmt: skip
        elif isinstance(shape, Area):
            ElementTree.SubElement(root, "polygon", {
                "points": _points(shape.points), "fill": shape.colour,
                "fill-opacity": _number(shape.opacity),
            })  # fmt: skip
        elif isinstance(shape, Dot):
            x, y = map(_number, shape.at)
            ElementTree.SubElement(root, "circle", {
                "cx": x, "cy": y, "r": _number(shape.radius), "stroke": shape.colour,
                "fill": shape.colour if shape.is_filled else "#ffffff",
            })  # fmt: skip
        else:
            _add_text(root, shape)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _add_text(root: ElementTree.Element, text: Text) -> None:
    x, y = map(_number, text.at)
    attributes = {
        "x": x, "y": y, "fill": text.colour, "font-size": _number(text.size),
        "text-anchor": text.anchor, "font-weight": "600" if text.is_bold else "400",
    }  # fmt: skip
    ElementTree.SubElement(root, "text", attributes).text = text.text


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
