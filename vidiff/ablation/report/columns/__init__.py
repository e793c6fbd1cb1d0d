"""Columns of an ablation's table of costs: a plugin's is one file, and one name in ``columns:``."""

from vidiff.ablation.report.columns import costs, matching
from vidiff.ablation.report.columns.base import Column

__all__ = ["DEFAULT", "Column", "costs", "matching"]

DEFAULT = (
    *("parameters", "flops_per_step", "steps", "flops", "step_time", "training_time", "memory"),
    *("equality", "solved"),
)
"""Those that every report has, in this order."""
