"""Names of metrics, checked before anything is trained: what training logs and what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vidiff.registry import nearest

if TYPE_CHECKING:
    from vidiff.training import Task

SPLITS = ("train/", "val/")
"""What names of logged values begin with, where it can be told which there are."""

STEPS = ("training_step", "validation_step", "on_validation_epoch_end", "measure", "log_measures")
"""Methods of tasks that log: a plugin that overrides one may log other values."""


@dataclass(frozen=True)
class Names:
    """What a run will give.

    Attributes:
        logged: names of values that training logs; None where that is not known.
        validated: whether there is a validation.
        measured: scores of the evaluation; None where that is not known.
        unmeasured: why other scores are not among them, by name.
    """

    logged: frozenset[str] | None = None
    validated: bool = True
    measured: tuple[str, ...] | None = None
    unmeasured: Mapping[str, str] = field(default_factory=dict)


def check_names(metrics: Iterable[str], names: Names) -> list[str]:
    """What is wrong with names of metrics, a line each."""
    lines = (_logged(m, names) if "/" in m else _measured(m, names) for m in metrics)
    return [f"metrics: {line}" for line in lines if line]


def _logged(metric: str, names: Names) -> str:
    if metric.startswith("val/") and not names.validated:
        return (
            f"{metric!r} is never logged, as trainer.limit_val_batches is 0: raise it in the base "
            "config"
        )
    if metric.startswith("test/"):
        return f"{metric!r} is never logged: training measures only the validation split"
    if names.logged is None or not metric.startswith(SPLITS) or metric in names.logged:
        return ""
    listed = ", ".join(sorted(names.logged))
    return f"training logs no {metric!r}{nearest(metric, names.logged)}; it logs {listed}"


def _measured(metric: str, names: Names) -> str:
    if names.measured is None or metric in names.measured:
        return ""
    if metric in names.unmeasured:
        return f"the evaluation does not measure {metric!r}: {names.unmeasured[metric]}"
    listed = ", ".join(names.measured) or "nothing"
    hint = nearest(metric, [*names.measured, *names.unmeasured])
    return f"the evaluation measures no {metric!r}{hint}; it measures {listed}"


def logged_by(task: Task, callbacks: Iterable[Any] = ()) -> frozenset[str] | None:
    """Names of the values that a task and callbacks log; None where a plugin may log others."""
    names = _of_task(task)
    for callback in callbacks:
        if names is None:
            return None
        told = getattr(callback, "logged", None)
        if callable(told):
            names |= frozenset(told())
        elif not type(callback).__module__.startswith(("vidiff.", "vidiff_eval.", "lightning.")):
            return None
    return names


def _of_task(task: Task) -> frozenset[str] | None:
    classes = type(task).__mro__
    owner = next(cls for cls in classes if "logged" in vars(cls))
    below = classes[: classes.index(owner)]
    if any(step in vars(cls) for cls in below for step in STEPS):
        return None
    return task.logged()
