"""Commands that the evaluation package adds to the ``vidiff`` program (kind ``command``)."""

from vidiff_eval.commands.compare import Compare
from vidiff_eval.commands.evaluate import Evaluate
from vidiff_eval.commands.report import Report

__all__ = ["Compare", "Evaluate", "Report"]
