"""The ablation file: what is asked, what is tried, and how it is judged.

::

    question: Which block brings the condition in best?
    base: base.yaml
    axes:
      model.denoiser.conditioning: [adaln_zero, adaln, cross_attention, in_context]
    match: parameters
    seeds: [0, 1, 2]
    samples: {prompts: prompts.txt}
    evaluation: {metrics: prompt_accuracy, protocol: whole}
    metrics: {prompt_accuracy: higher}
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from vidiff.ablation.launchers.base import Launcher
from vidiff.ablation.launchers.local import Local
from vidiff.captions import looks_like_file
from vidiff.cli.errors import explain
from vidiff.errors import UsageError
from vidiff.registry import list_components, nearest
from vidiff.yaml_files import read_yaml

Direction = Literal["higher", "lower"]
Quantity = Literal["parameters", "flops", "time"]

OUTPUT = Path("runs/ablations")
"""Where ablations write by default: reports in folders named like theirs, and all runs in one."""


@dataclass(frozen=True)
class Match:
    """In what all cells are made equal to the baseline, and by what.

    Args:
        equal: trained parameters; FLOPs or time of the whole training.
        by: the option that is solved for: by default ``trainer.max_steps``, for parameters
            ``model.denoiser.width``.
        multiple: what the solution is a multiple of; by default of what a width's heads need.
        tolerance: how far a cell may be from the baseline, as a share of it.
    """

    equal: Quantity
    by: str = ""
    multiple: int | None = None
    tolerance: float = 0.02

    def __post_init__(self) -> None:
        if not self.by:
            by = "model.denoiser.width" if self.equal == "parameters" else "trainer.max_steps"
            object.__setattr__(self, "by", by)
        if self.by == "trainer.max_steps" and self.equal == "parameters":
            raise ValueError("match: parameters do not depend on trainer.max_steps: set by")
        if self.by != "trainer.max_steps" and self.equal == "time":
            raise ValueError("match: time is made equal by trainer.max_steps, and by nothing else")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"match.tolerance must be within (0, 1), got {self.tolerance}")
        if self.multiple is not None and self.multiple < 1:
            raise ValueError(f"match.multiple must be at least 1, got {self.multiple}")


@dataclass(frozen=True)
class Budget:
    """What an ablation may take; null is without limit.

    Args:
        hours: of all runs together, one by one; no further run is started once they are spent.
        minutes_per_run: after which a run is ended, as failed; it goes on when called again.
    """

    hours: float | None = None
    minutes_per_run: float | None = None

    def __post_init__(self) -> None:
        for name in ("hours", "minutes_per_run"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"budget.{name} must be positive, got {value}")


@dataclass(frozen=True)
class Ablation:
    """What an ablation file says. Paths in it are relative to its folder.

    Args:
        question: in words, with a question mark.
        base: the config that every cell changes.
        axes: what is varied, in all combinations. Either a dotted option with a list of nodes for
            it, or a name with named values: mappings from dotted options to nodes.
        metrics: scores of the evaluation, or values that training logs (with a ``/`` in their
            names), and whether higher or lower is better. The first decides.
        seeds: one run of each cell for each.
        baseline: the value of each axis that the others are compared with; by default its first.
        exclude: combinations that are left out.
        match: in what the cells are made equal to the baseline: a word, or options of ``Match``.
        first: configs that are trained once, before all runs: autoencoders that these need.
        samples: options of ``vidiff sample``: the same prompts and noise in every run. Null: no
            videos are made.
        evaluation: options of ``vidiff evaluate`` for these videos.
        output: folder to write reports into; ``runs/ablations/NAME`` by default.
        runs: folder of the runs, which ablations may share; ``runs/ablations/runs`` by default, or
            ``runs`` in ``output`` where that is given.
        report: formats of the report, besides html, markdown and csv: latex, svg, png.
        columns: of the table of costs, besides those that every report has.
    """

    question: str
    base: str
    axes: dict[str, Any]
    metrics: dict[str, Direction]
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    baseline: dict[str, Any] = field(default_factory=dict)
    exclude: list[dict[str, Any]] = field(default_factory=list)
    match: Match | None = None
    first: list[str] = field(default_factory=list)
    samples: dict[str, Any] | None = None
    evaluation: dict[str, Any] | None = None
    budget: Budget = field(default_factory=Budget)
    launcher: Launcher = field(default_factory=Local)
    output: str | None = None
    runs: str | None = None
    report: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)


def read_ablation(path: Path) -> Ablation:
    """Read an ablation file, with paths from here, and axes spelt out; or a ``UsageError``."""
    from jsonargparse import ArgumentError, ArgumentParser

    from vidiff.cli.names import install

    node = read_yaml(path)
    known = [each.name for each in fields(Ablation)]
    for key in node:
        if key not in known:
            raise UsageError(f"{path}: unknown key {key!r}{nearest(str(key), known)}; known: "
                             f"{', '.join(known)}")  # fmt: skip
    install()
    # jsonargparse would build what looks like a class where anything may stand.
    plain = {name: node.pop(name) for name in _PLAIN if name in node}
    match = node.pop("match", None)
    if isinstance(match, str):
        match = {"equal": match}
    if match is not None and not isinstance(match, dict):
        raise UsageError(
            f"{path}: match must be none, parameters, flops, time or a mapping, got {match!r}"
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Ablation, as_group=False, skip={*_PLAIN, "match", "budget"})
    parser.add_class_arguments(Budget, "budget")
    if match and match.get("equal") != "none":
        node["match"] = match
        parser.add_class_arguments(Match, "match")
    try:
        _check_launcher(node.get("launcher"))
        given = parser.instantiate(parser.parse_object(node)).as_dict()
        given["budget"] = given.get("budget") or Budget()
        return _checked(Ablation(**_mappings(plain), **given), path)
    except ArgumentError as error:
        raise UsageError(f"{path}: {explain(str(error))}") from error
    except (ValueError, UsageError) as error:
        raise UsageError(f"{path}: {error}") from error


def _check_launcher(node: Any) -> None:
    """Raise a ``UsageError`` if the launcher is one that a plugin of ours would bring."""
    name = node.get("class_path") if isinstance(node, Mapping) else node
    known = list_components("launcher")
    if name == "ray" and name not in known:
        raise UsageError(
            "launcher: ray is a plugin: install it by `pip install ./plugins/vidiff-ray`, or name "
            f"it by --plugins plugins/vidiff-ray/vidiff_ray; known: {', '.join(known)}"
        )


_PLAIN = ("axes", "baseline", "exclude", "samples", "evaluation")


def _mappings(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The nodes that jsonargparse leaves alone, of the right types."""
    if "axes" not in plain:
        raise ValueError("missing: axes; name what is varied")
    for name, node in plain.items():
        optional = name in ("samples", "evaluation") and node is None
        if name != "exclude" and not optional and not isinstance(node, dict):
            raise ValueError(f"{name} must be a mapping, got {node!r}")
    exclude = plain.get("exclude", [])
    if not isinstance(exclude, list) or not all(isinstance(one, dict) for one in exclude):
        raise ValueError(f"exclude must be a list of mappings from axes to values, got {exclude!r}")
    return dict(plain)


def _checked(ablation: Ablation, path: Path) -> Ablation:
    axes = {name: _values(name, node) for name, node in ablation.axes.items()}
    short = {name: _short(name, axes) for name in axes}
    axes = {short[name]: values for name, values in axes.items()}
    if not axes:
        raise ValueError("axes are empty: name what is varied")
    if "?" not in ablation.question:
        raise ValueError(f"question is to be asked, with a question mark: {ablation.question!r}")
    if not ablation.metrics:
        raise ValueError("metrics are empty: name the scores that decide, as in {fvd: lower}")
    if not ablation.seeds or len(set(ablation.seeds)) < len(ablation.seeds):
        raise ValueError(f"seeds must be at least one, and differ; got {ablation.seeds}")
    if min(ablation.seeds) < 0:
        raise ValueError(f"seeds must not be negative, got {min(ablation.seeds)}")
    measured = [name for name in ablation.metrics if "/" not in name]
    samples, evaluation = ablation.samples, ablation.evaluation
    if measured and (samples is None or evaluation is None):
        raise ValueError(
            f"{measured[0]} is measured on videos: say by samples and evaluation how they are made "
            "and measured, or name a value that training logs, such as val/loss"
        )
    if (samples is None) != (evaluation is None):
        raise ValueError("samples and evaluation belong together: give both or neither")
    folder = path.parent
    if samples is not None:
        if not isinstance(samples.get("prompts"), str):
            raise ValueError("samples needs prompts: a file with a prompt a line, or 'text;text'")
        if taken := {"output", "ckpt_path"} & {*samples}:
            raise ValueError(f"samples.{min(taken)} is set by the ablation: leave it out")
        if looks_like_file(samples["prompts"]):
            samples = samples | {"prompts": os.path.normpath(folder / samples["prompts"])}
    if taken := {"generated", "output", "overwrite", "config", "c"} & {*(evaluation or {})}:
        raise ValueError(f"evaluation.{min(taken)} is set by the ablation: leave it out")
    return replace(
        ablation,
        axes=axes,
        baseline=_choices("baseline", ablation.baseline, axes, short),
        exclude=[_choices("exclude", one, axes, short) for one in ablation.exclude],
        base=_beside(folder, ablation.base),
        first=[_beside(folder, config) for config in ablation.first],
        samples=samples,
        output=str(ablation.output or OUTPUT / name_of(path)),
        runs=str(ablation.runs or Path(ablation.output or OUTPUT) / "runs"),
    )


def name_of(path: Path) -> str:
    """What the ablation of a file is called: like its folder, unless the file has another name."""
    folder = path.resolve().parent.name
    return folder if path.stem == "ablation" else f"{folder}-{path.stem}"


def _values(axis: str, node: Any) -> dict[str, dict[str, Any]]:
    """The nodes of each value, from either way of writing an axis."""
    if isinstance(node, list):
        named = {_name(value): {axis: value} for value in node}
        if len(named) < len(node):
            raise ValueError(f"axes.{axis} has two values of the same name: name its values")
    elif isinstance(node, dict):
        for value, replaced in node.items():
            if not isinstance(replaced, dict) or not all("." in str(key) for key in replaced):
                raise ValueError(
                    f"axes.{axis}.{value} must be a mapping from dotted options to what replaces "
                    f"them, as in {{model.denoiser.attention: full}}; got {replaced!r}"
                )
        named = {str(value): replaced for value, replaced in node.items()}
    else:
        raise ValueError(f"axes.{axis} must be a list or a mapping of values, got {node!r}")
    if len(named) < 2:
        raise ValueError(f"axes.{axis} needs two values at least, to compare them")
    return named


def _name(value: Any) -> str:
    """What a value of a list is called: its name, and settings if it has some."""
    if isinstance(value, Mapping) and "class_path" in value:
        settings = value.get("init_args") or {}
        listed = " ".join(f"{key}={_name(item)}" for key, item in settings.items())
        return f"{value['class_path']} {listed}".strip()
    return value if isinstance(value, str) else json.dumps(value)


def _short(name: str, axes: Iterable[str]) -> str:
    """The last part of a dotted name, unless another axis ends in it too."""
    last = name.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in axes) == 1 else name


def _choices(
    where: str, given: Mapping[str, Any], axes: Mapping[str, Any], short: Mapping[str, str]
) -> dict[str, str]:
    choices = {}
    for key, named in given.items():
        axis, value = short.get(key, key), _name(named)
        if axis not in axes:
            raise ValueError(f"{where}: unknown axis {key!r}{nearest(key, axes)}; known: "
                             f"{', '.join(axes)}")  # fmt: skip
        if value not in axes[axis]:
            raise ValueError(f"{where}: {axis} has no value {value!r}{nearest(value, axes[axis])}; "
                             f"known: {', '.join(axes[axis])}")  # fmt: skip
        choices[axis] = value
    if not choices and where == "exclude":
        raise ValueError("exclude: an empty combination would leave out everything")
    return choices


def _beside(folder: Path, name: str) -> str:
    """A path in the file, from here; what has no ending stays as it is."""
    return os.path.normpath(folder / name) if Path(name).suffix else name
