"""Help of the model commands: one short page, and registered names wherever one is asked for."""

from __future__ import annotations

import textwrap
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Mapping
from typing import Any

from jsonargparse import DefaultHelpFormatter, _typehints
from jsonargparse._util import get_import_path

from vidiff.cli.names import kind_of
from vidiff.registry import list_components, list_kinds

COMMON = (
    "accelerator devices strategy precision max_steps max_time default_root_dir "
    "val_check_interval limit_val_batches gradient_clip_val accumulate_grad_batches callbacks"
)
"""Options of the trainer that the short page shows."""

LINES = {
    "config": "a config in YAML; of several, later ones change earlier ones",
    "print_config": "print the config with all defaults, and stop",
    "seed_everything": "decides everything that is drawn (default: 0)",
    "ckpt_path": "a checkpoint; of the run folder `last` is the newest, `auto` that if any, `best` "
    "what a ModelCheckpoint holds best",
    "weights_only": "read nothing from the checkpoint but tensors and plain values",
    "plugins": "files and modules that register components of their own",
    "trainer.accelerator": "cpu, gpu, … (default: auto)",
    "trainer.devices": "how many, or which (default: auto)",
    "trainer.strategy": "ddp, model_parallel, … (default: auto)",
    "trainer.precision": "32-true, bf16-mixed, 16-mixed, … (default: auto, what is fast here)",
    "trainer.default_root_dir": "the run folder, which holds one run (default: runs/unnamed)",
}
"""Lines of the short page that the libraries say at greater length."""


class HelpFormatter(DefaultHelpFormatter):
    """Names the components that an option takes, instead of the dotted paths of classes."""

    def _get_help_string(self, action: Action) -> str:
        names = component_names(action)
        if not names:
            return super()._get_help_string(action)
        default = component_name(action.default)
        return f"{action.help or ''} (one of: {', '.join(names)}; default: {default})"


def short_page(parser: ArgumentParser, command: str, summary: str) -> str:
    """The options of a model command that most runs need, one line each."""
    common = {f"trainer.{name}" for name in COMMON.split()}
    rows = []
    for action in parser._actions:
        shown = not action.dest.startswith("trainer") or action.dest in common
        if shown and action.help != SUPPRESS and not action.dest.endswith(("help", "data")):
            rows.append((action.option_strings[-1].removesuffix("+"), _line(action)))
    width = max(len(option) for option, _ in rows)
    indent = " " * (width + 4)
    options = "\n".join(
        textwrap.fill(line, 98, initial_indent=f"  {o:<{width}}  ", subsequent_indent=indent)
        for o, line in rows
    )
    return f"""\
vidiff {command}: {summary}

usage: vidiff {command} -c CONFIG [--KEY VALUE …]

{options}

Every key of a config is an option: --model.denoiser.depth 8, --model.sampler ddim.
All options: vidiff {command} --help-all.  Of a class: --model.help DiffusionTask.
What can be put in: vidiff components.  What it takes: vidiff components show dit.
"""


def component_names(action: Action) -> list[str]:
    """The registered names that an option takes: of a kind's base class, its factory, or either."""
    if not isinstance(action, _typehints.ActionTypeHint):
        return []
    classes = _typehints.get_subclass_types(
        action._typehint, also_containers=True, callable_return=True
    )
    kinds = [kind for cls in classes or () if (kind := kind_of(cls)) is not None]
    return [name for kind in kinds for name in list_components(kind.name)]


def component_name(default: Any) -> str:
    """A default as a config would say it."""
    if isinstance(default, Mapping) and "class_path" not in default:
        return ", ".join(f"{name}: {component_name(part)}" for name, part in default.items())
    path = default.get("class_path") if isinstance(default, Mapping) else default
    if not isinstance(path, str):
        return "null" if path is None else str(path)
    for kind in list_kinds():
        for component in kind.components.values():
            if path == get_import_path(component.cls):
                return component.name
    return path


def _line(action: Action) -> str:
    option = action.option_strings[-1].removeprefix("--").removesuffix("+")
    if option in LINES:
        return LINES[option]
    if action.dest == "model":
        tasks = [p.rpartition(".")[2] for p in _typehints.get_all_subclass_paths(action._typehint)]  # type: ignore[attr-defined]
        return f"what is trained (one of: {', '.join(sorted(tasks))})"
    text = " ".join((action.help or "").split()).partition(". ")[0].rstrip(".")
    names = component_names(action)
    if names:
        return f"{text} (one of: {', '.join(names)}; default: {component_name(action.default)})"
    default = action.default
    return text if default in (None, SUPPRESS) else f"{text} (default: {default})"
