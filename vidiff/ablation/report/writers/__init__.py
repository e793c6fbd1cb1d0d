"""Formats of an ablation's report: a plugin's is one file, and one name in ``--report``."""

from vidiff.ablation.report.content import Content
from vidiff.ablation.report.writers.base import ReportWriter
from vidiff.ablation.report.writers.csv import CSV
from vidiff.ablation.report.writers.html import HTML
from vidiff.ablation.report.writers.latex import LaTeX
from vidiff.ablation.report.writers.markdown import Markdown
from vidiff.ablation.report.writers.png import PNG
from vidiff.ablation.report.writers.svg import SVG

__all__ = ["CSV", "DEFAULT", "HTML", "PNG", "SVG", "Content", "LaTeX", "Markdown", "ReportWriter"]

DEFAULT = ("csv", "markdown", "html")
"""Those that are always written."""
