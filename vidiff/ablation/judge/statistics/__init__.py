"""How sure an ablation's scores are: intervals, paired tests, effects of axes, seeds to add."""

from vidiff.ablation.judge.statistics.comparison import Comparison, Verdict
from vidiff.ablation.judge.statistics.contrasts import Effect, compare, interactions, main_effects
from vidiff.ablation.judge.statistics.intervals import Estimate, mean
from vidiff.ablation.judge.statistics.observations import Observations
from vidiff.ablation.judge.statistics.power import further_seeds
from vidiff.ablation.judge.statistics.verdicts import holm, judge

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
