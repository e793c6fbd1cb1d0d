"""``report.html``: one file that asks nothing of the network."""

from __future__ import annotations

from vidiff.ablation.report.content import Content
from vidiff.ablation.report.page import render_page
from vidiff.ablation.report.writers.base import ReportWriter
from vidiff.registry import register


@register("html")
class HTML(ReportWriter):
    """A page with answers, tables, learning curves and videos, for people new to the code."""

    def render(self, content: Content) -> dict[str, str | bytes]:
        return {"report.html": render_page(content)}
