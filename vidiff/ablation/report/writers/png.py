"""``scores.png`` and ``curves.png``: the figures of the page as images."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from vidiff.ablation.report.figure import Area, Dot, Figure, Text
from vidiff.ablation.report.writers.drawn import DrawnReport
from vidiff.registry import register

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

SCALE = 3
"""Pixels of the image for one of the figure, in either direction: about 290 dots an inch."""

FINER = 2
"""How much finer it is drawn than written, which smooths edges."""

FONT = "DejaVuSans.ttf"
"""Has more than Latin letters; where it is missing, Pillow's own font has to do."""


@register("png")
class PNG(DrawnReport):
    """Scores with their intervals, and learning curves, as images."""

    ending: ClassVar = "png"

    def draw(self, figure: Figure) -> bytes:
        return to_png(figure)


def to_png(figure: Figure) -> bytes:
    """A figure as a PNG file, ``SCALE`` times as large."""
    from PIL import Image, ImageDraw

    fine = SCALE * FINER
    size = round(figure.width * fine), round(figure.height * fine)
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image, "RGBA")  # by it what is translucent is blended
    for shape in figure.shapes:
        if isinstance(shape, Text):
            x, y = shape.at
            draw.text(
                (x * fine, y * fine), _plain(shape.text), shape.colour, _font(shape.size * fine),
                anchor={"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor],
                stroke_width=shape.is_bold * fine * shape.size / 40,
            )  # fmt: skip
        elif isinstance(shape, Dot):
            x, y = shape.at
            inside = shape.colour if shape.is_filled else "white"
            where = (x * fine, y * fine), shape.radius * fine
            draw.circle(*where, fill=inside, outline=shape.colour, width=fine)
        else:
            points = [(x * fine, y * fine) for x, y in shape.points]
            colour = f"{shape.colour}{round(255 * shape.opacity):02x}"
            if isinstance(shape, Area):
                draw.polygon(points, fill=colour)
            else:
                draw.line(points, fill=colour, width=round(shape.width * fine), joint="curve")
    file = io.BytesIO()
    small = image.resize((size[0] // FINER, size[1] // FINER), Image.Resampling.LANCZOS)
    small.save(file, "PNG", optimize=True)
    return file.getvalue()


@cache
def _font(size: float) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    try:
        return ImageFont.truetype(FONT, size)
    except OSError:
        return ImageFont.load_default(size)


def _plain(text: str) -> str:
    """With the minus sign that every font has."""
    return text.replace("−", "-")
