"""What is done with a trained model: checked before anything is trained."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidiff.ablation.ask import nodes
from vidiff.ablation.run.folder import options
from vidiff.cli.errors import explain, unknown
from vidiff.cli.main import LightParser
from vidiff.errors import Errors, UsageError
from vidiff.registry import get_component, list_components, nearest
from vidiff.yaml_files import read_yaml

Measured = tuple[tuple[str, ...], dict[str, str]]
"""Scores that an evaluation measures, and by name why it does not measure others."""


def check_measuring(
    parser: Any,
    samples: Mapping[str, Any] | None,
    evaluation: Mapping[str, Any] | None,
    base: Path,
) -> tuple[list[str], Measured | None]:
    """Check the options of ``vidiff sample`` and ``vidiff evaluate``.

    Returns:
        What is wrong, a line each; and the scores that will be measured, None where not known.
    """
    errors = []
    measured = None
    try:
        _sampling(parser, samples)
    except (ValueError, UsageError) as error:
        errors.append(" ".join(str(error).split()))
    try:
        measured = _evaluation(evaluation, base)
    except Errors as error:
        errors += [f"evaluation: {line}" for line in error.lines]
    except (ValueError, UsageError) as error:
        errors.append(" ".join(str(error).split()))
    return errors, measured


def _sampling(parser: Any, samples: Mapping[str, Any] | None) -> None:
    if samples is None:
        return
    from vidiff.captions import read_prompts
    from vidiff.training.trainer import VidiffTrainer

    known = sorted(inspect.signature(VidiffTrainer.sample).parameters.keys() - _NOT_FOR_USERS)
    for name in samples:
        if name not in known:
            raise UsageError(f"samples: {unknown(name, name, known)}")
    command = parser._subcommands_action.choices["sample"]
    from jsonargparse import ArgumentError as Refused

    try:
        command.parse_object(dict(samples), _skip_required=True, defaults=False)
    except (Refused, UsageError) as error:
        raise UsageError(f"samples: {explain(str(error))}") from error
    read_prompts(str(samples["prompts"]))


_NOT_FOR_USERS = {"self", "model", "datamodule", "output", "ckpt_path", "weights_only"}


def _evaluation(evaluation: Mapping[str, Any] | None, base: Path) -> Measured | None:
    """Let the command itself say whether it could measure this, and what it would."""
    if evaluation is None:
        return None
    commands = list_components("command")
    if "evaluate" not in commands:
        raise UsageError(
            f"evaluation: there is no command `evaluate`{nearest('evaluate', commands)}: the "
            "evaluation package is not installed"
        )
    command = get_component("command", "evaluate").cls()
    parser = LightParser(prog="evaluation", add_help=False, allow_abbrev=False)
    command.add_arguments(parser)
    words = ["--generated=run", "--output=nowhere", "--dry-run", *options(evaluation)]
    if isinstance(nodes.get(read_yaml(base), "data.dataset"), dict):
        words.append(f"--config={base}")
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
