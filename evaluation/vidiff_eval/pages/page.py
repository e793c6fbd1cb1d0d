"""The page of runs: one HTML file that asks nothing of the network."""

from __future__ import annotations

from vidiff.pages import charts
from vidiff.pages.environment import make_environment
from vidiff.pages.media import Media, embed
from vidiff.schema import plain
from vidiff_eval.pages.content import Clip, Content


def render_page(content: Content, *, title: str) -> str:
    """The report as a self-contained HTML page; all that it shows is escaped."""
    environment = make_environment("vidiff_eval", "pages")
    environment.filters.update(
        count=_count, duration=_duration, percent=_percent, data_uri=_data_uri
    )
    return environment.get_template("page.html.j2").render(
        title=title,
        content=content,
        measured=plain(content.how_measured),
        scores={group.name: plain(group.scores) for group in content.groups},
        charts={run.name: charts.make_charts(run.curves) for run in content.runs},
    )


def _data_uri(video: Clip) -> Media:
    assert video.sample is not None
    return embed(video.sample.path)


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
