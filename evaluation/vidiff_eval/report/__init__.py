"""The report page: what ``vidiff report`` reads, and what it makes of it."""

from vidiff_eval.report.content import Content, read_content, report_figures
from vidiff_eval.report.page import render_page

__all__ = ["Content", "read_content", "render_page", "report_figures"]
