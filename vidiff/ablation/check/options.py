"""What is done with a trained model, and names of metrics: checked before anything is trained."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.nodes import Config
from vidiff.ablation.run.folder import options
from vidiff.captions import read_prompts
from vidiff.cli.errors import explain, unknown
from vidiff.cli.main import LightParser
from vidiff.errors import Errors, UsageError
from vidiff.registry import get_component, list_components, nearest
from vidiff.training import Task
from vidiff.training.trainer import VidiffTrainer

Measured = tuple[tuple[str, ...], dict[str, str]]
"""Scores that an evaluation measures, and by name why it does not measure others."""


_NOT_FOR_USERS = {"self", "model", "datamodule", "output", "ckpt_path", "weights_only"}


def check_sampling(parser: Any, samples: Mapping[str, Any] | None) -> None:
    """Check the options of ``vidiff sample``."""
    if samples is None:
        return
    known = sorted(inspect.signature(VidiffTrainer.sample).parameters.keys() - _NOT_FOR_USERS)
    for name in samples:
        if name not in known:
            raise UsageError(f"samples: {unknown(name, name, known)}")
    command = parser._subcommands_action.choices["sample"]
    try:
        command.parse_object(dict(samples), _skip_required=True, defaults=False)
    except (ArgumentError, UsageError) as error:
        raise UsageError(f"samples: {explain(str(error))}") from error
    read_prompts(str(samples["prompts"]))


def check_evaluation(evaluation: Mapping[str, Any] | None, base: Config) -> Measured | None:
    """Let ``vidiff evaluate`` say whether it could measure this, and what, where it knows."""
    if evaluation is None:
        return None
    if "evaluate" not in list_components("command"):
        raise UsageError("evaluation: the evaluation package is not installed")
    command = get_component("command", "evaluate").cls()
    parser = LightParser(prog="evaluation", add_help=False, allow_abbrev=False)
    command.add_arguments(parser)
    words = ["--generated=run", "--output=nowhere", "--dry-run", *options(evaluation)]
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(nodes.get(base, "data.dataset"), dict):
            path = Path(folder) / "base.yaml"
            path.write_text(yaml.safe_dump(base), encoding="utf-8")
            words.append(f"--config={path}")
        args, rest = parser.parse_known_args(words)
        args.rest = rest
        foretell = getattr(command, "foretell", None)
        try:
            command.run(args)
            return foretell(args) if foretell else None
        except Errors:
            raise
        except (ValueError, UsageError) as error:
            raise UsageError(f"evaluation: {error}") from error


SPLITS = ("train/", "val/")
"""What names of logged values begin with, where it can be told which there are."""

STEPS = ("training_step", "validation_step", "on_validation_epoch_end", "measure", "log_measures")
"""Methods of tasks that log: a plugin that overrides one may log other values."""


@dataclass(frozen=True)
class Names:
    """What training logs and the evaluation measures, None where not known; and why not others."""

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


def is_of_videos(score: str) -> bool:
    """Whether a metric gives a score for each video, or pair of videos, not only for whole sets."""
    classes = (get_component("metric", name).cls for name in list_components("metric"))
    kinds = {getattr(cls, "kind", "sets") for cls in classes if score in _scores(cls)}
    return bool(kinds) and "sets" not in kinds


def _scores(metric: type) -> tuple[str, ...]:
    scores = getattr(metric, "scores", ())  # some know theirs only once they are made
    return scores if isinstance(scores, tuple) else ()


def logged_by(task: Task, callbacks: Iterable[Any] = ()) -> frozenset[str] | None:
    """Names of the values that a task and callbacks log; None where a plugin may log others."""
    classes = type(task).__mro__
    owner = next(cls for cls in classes if "logged" in vars(cls))
    below = classes[: classes.index(owner)]
    names = task.logged()
    if names is None or any(step in vars(cls) for cls in below for step in STEPS):
        return None
    for callback in callbacks:
        told = getattr(callback, "logged", None)
        if callable(told):
            names |= frozenset(told())
        elif not type(callback).__module__.startswith(("vidiff.", "vidiff_eval.", "lightning.")):
            return None
    return names
