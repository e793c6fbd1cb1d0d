"""Results of an ablation that nobody ran."""

from __future__ import annotations

from typing import Any

from vidiff.ablation.ask.file import Budget, Match
from vidiff.ablation.judge.schema import (
    CellResult,
    Costs,
    Metric,
    Precision,
    Prompts,
    Provenance,
    Results,
    RunResult,
    Status,
    Video,
)
from vidiff.ablation.judge.statistics.comparison import Comparison
from vidiff.ablation.judge.statistics.intervals import Estimate

SHARE = Metric(True, "Right videos.", "share", "prompts", 4, 2, (0, 1))
LOSS = Metric(False, "", None, "seeds", None, 7)


def judged(difference: float, verdict: Any, further: int | None = None) -> Comparison:
    return Comparison(
        difference=difference, interval=(difference - 0.05, difference + 0.05), method="",
        p=0.01, p_method="", p_seeds=0.01, p_holm=0.03, verdict=verdict, further_seeds=further,
        reason="The interval over seeds holds zero.", num_seeds=2, num_pairs=8, num_units=4,
        units="prompts", seed_differences=(difference,) * 2, higher_is_better=True,
    )  # fmt: skip


def make_cell(
    name: str, value: float, steps: int, compared: dict[str, Comparison], is_baseline: bool = False
) -> CellResult:
    runs = [
        RunResult(
            id=f"{name[:3]}{seed}", seed=seed, state="done", error="", attempts=1, step=steps,
            scores={
                "accuracy": [(steps, value + 0.01 * seed)],
                "val/loss": [(0, 1.0), (steps, 1 - value)],
            },
            seconds_per_step=0.5, seconds=steps / 2,
            curves={"val/loss": [(s, 1 - value + 0.1 * seed) for s in (0, steps)]},
            videos=[Video(f"prompt {k}", f"{k}.mp4", k == 0) for k in (0, 1)],
        )
        for seed in (0, 1)
    ]  # fmt: skip
    interval = (value - 0.02, value + 0.02)
    return CellResult(
        name=name, choices={"block": name}, is_baseline=is_baseline, solved={"w": 3},
        equality=1.01, runs=runs, differences=compared,
        scores={
            "accuracy": Estimate(value, interval, "", 2, 4),
            "val/loss": Estimate(1 - value, interval, "", 2, 1),
        },
        costs=Costs(
            parameters=1_234_567, flops_per_step=2 * 10**9, steps=steps, flops=2 * 10**9 * steps,
            seconds_per_step=0.5, seconds=90.0, seconds_before=0.0, memory_bytes=2**30,
            memory_of="process",
        ),
    )  # fmt: skip


def make_results() -> Results:
    """Of one axis with four values: the baseline, one better, one worse, one that is alike."""
    return Results(
        name="blocks", question="Which block?", created="2026-01-02T03:04:05+00:00",
        file="blocks/ablation.yaml", status=Status(runs=6, done=6, failed=[], missing=0),
        axes={"block": ["plain", "good", "bad", "same"]}, baseline="plain", seeds=[0, 1],
        match=Match("flops"), budget=Budget(),
        precision=Precision(runs={"32-true": ["plain, seed 0"]}, chosen=None),
        metrics={"accuracy": SHARE, "val/loss": LOSS},
        cells=[
            make_cell("plain", 0.5, 100, {}, is_baseline=True),
            make_cell("good", 0.7, 120, {"accuracy": judged(0.2, "better")}),
            make_cell("bad", 0.3, 80, {"accuracy": judged(-0.2, "worse")}),
            make_cell("same", 0.51, 100, {"accuracy": judged(0.01, "cannot tell", 7)}),
        ],
        not_found=[], main_effects={}, interactions={},
        provenance=Provenance(
            runs=["0" * 64], source={"commit": "c0ffee", "changed": True},
            versions={"torch": "2"}, hardware={"num_cpus": 2}, data={"class": "Shapes"},
            validation=[], evaluation_protocol={"name": "whole", "fingerprint": "f1"},
            prompts=Prompts(2, "a" * 64), sampling={"seed": 1},
            evaluation={"metrics": "accuracy"}, launcher="local",
        ),
    )  # fmt: skip
