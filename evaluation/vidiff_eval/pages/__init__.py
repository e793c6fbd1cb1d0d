"""Pages of runs and what they make (``vidiff report``), and of evaluations."""

from vidiff_eval.pages.content import Content, read_content, report_scores
from vidiff_eval.pages.evaluation_page import render_evaluation
from vidiff_eval.pages.page import render_page

__all__ = ["Content", "read_content", "render_evaluation", "render_page", "report_scores"]
