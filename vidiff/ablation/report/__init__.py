"""Step 5: the results for people and spreadsheets: report.html, report.md, results.csv."""

from vidiff.ablation.report.csv_file import render_csv
from vidiff.ablation.report.markdown import render_markdown
from vidiff.ablation.report.page import render_html

__all__ = ["render_csv", "render_html", "render_markdown"]
