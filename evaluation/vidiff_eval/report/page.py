"""The page: one HTML file that asks nothing of the network."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterator
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from vidiff_eval.report import charts
from vidiff_eval.report.content import Content, Video


def render_page(content: Content, *, title: str) -> str:
    """The report as a self-contained HTML page; all that it shows is escaped."""
    environment = Environment(
        loader=PackageLoader("vidiff_eval", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=_count, duration=_duration, percent=_percent, data_uri=_data_uri, leaves=_leaves
    )
    return environment.get_template("page.html.j2").render(
        title=title,
        content=content,
        charts={run.name: charts.make_charts(run.curves) for run in content.runs},
        width=charts.WIDTH,
        height=charts.HEIGHT,
        plot={"left": charts.LEFT, "right": charts.WIDTH - charts.RIGHT,
              "top": charts.TOP, "bottom": charts.HEIGHT - charts.BOTTOM},
    )  # fmt: skip


def _data_uri(video: Video) -> dict[str, Any]:
    """A video's file as an address that holds it, and whether it is for ``<img>``."""
    assert video.sample is not None
    kind = mimetypes.guess_type(video.sample.file)[0] or "video/mp4"
    data = base64.b64encode(video.sample.path.read_bytes()).decode("ascii")
    return {"uri": f"data:{kind};base64,{data}", "is_image": kind.startswith("image/")}


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _count(number: float) -> str:
    for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _leaves(data: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Nested data as dotted keys with their values."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(data, list):
        yield key, ", ".join(map(str, data))
    else:
        yield key, str(data)
