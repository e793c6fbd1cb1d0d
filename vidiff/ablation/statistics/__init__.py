"""How sure an ablation's figures are: intervals, paired tests, effects of axes, seeds to add."""

from vidiff.ablation.statistics.comparison import Comparison, Verdict
from vidiff.ablation.statistics.contrasts import Effect, compare, interactions, main_effects
from vidiff.ablation.statistics.holm import holm
from vidiff.ablation.statistics.intervals import Estimate, mean
from vidiff.ablation.statistics.observations import Observations
from vidiff.ablation.statistics.power import further_seeds
from vidiff.ablation.statistics.verdicts import judge

__all__ = [
    "Comparison",
    "Effect",
    "Estimate",
    "Observations",
    "Verdict",
    "compare",
    "further_seeds",
    "holm",
    "interactions",
    "judge",
    "main_effects",
    "mean",
]
