"""The page of runs: one HTML file that needs no network."""

from __future__ import annotations

from functools import partial

from vidiff.formatting import duration, large
from vidiff.pages import charts
from vidiff.pages.environment import make_environment
from vidiff.pages.media import embed
from vidiff.schema import plain
from vidiff_eval.pages.content import Content


def render_page(content: Content, *, title: str) -> str:
    """The report as a self-contained HTML page; all that it shows is escaped."""
    environment = make_environment("vidiff_eval", "pages")
    environment.filters.update(
        count=partial(large, digits=3),
        duration=duration,
        percent=lambda share: f"{100 * share:.1f}",
        data_uri=lambda video: embed(video.sample.path),
    )
    return environment.get_template("page.html.j2").render(
        title=title,
        content=content,
        measured=plain(content.how_measured),
        scores={group.name: plain(group.scores) for group in content.groups},
        charts={run.name: charts.make_charts(run.curves) for run in content.runs},
    )
