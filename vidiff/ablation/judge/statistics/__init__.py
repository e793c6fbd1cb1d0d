"""How sure an ablation's scores are: intervals, paired tests, effects of axes, seeds to add."""
