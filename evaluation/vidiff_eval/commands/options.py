"""Options of metrics and protocols on the command line: ``--fvd.weights``, ``--protocol.fps``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidiff.cli.errors import explain
from vidiff.config_nodes import arguments_of
from vidiff.errors import UsageError
from vidiff.registry import all_components, get_component, list_components, nearest
from vidiff.yaml_files import read_yaml
from vidiff_eval.metrics.base import VideoMetric
from vidiff_eval.protocols.protocol import Protocol

Options = dict[str, list[str]]
"""By the word before the first dot, options as jsonargparse reads them: ``--weights=PATH``."""


def read_options(words: Sequence[str], errors: list[str]) -> Options:
    """Sort ``--NAME.OPTION VALUE`` and ``--NAME.OPTION=VALUE`` by NAME.

    ``errors`` gets a line for each word that is no such option, and each NAME that is no metric.
    """
    known = ["protocol", *list_components("metric")]
    options: Options = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.partition("=")
        name, dot, option = key.removeprefix("--").partition(".")
        if not equals and rest and not rest[0].startswith("--"):
            equals, value = "=", rest.pop(0)
        if not (word.startswith("--") and dot and option):
            errors.append(f"evaluate: unknown option {word!r}; `vidiff evaluate --help` has all")
        elif name not in known:
            errors.append(
                f"evaluate: no metric {name!r} for {key}{nearest(name, known)}; "
                f"known: {', '.join(known)}"
            )
        elif not equals:
            errors.append(f"evaluate: {key} needs a value")
        else:
            options.setdefault(name, []).append(f"--{option}={value}")
    return options


def make_metric(name: str, options: Sequence[str] = ()) -> VideoMetric:
    """Make a registered metric from its options.

    Raises:
        ValueError: if there is no such metric.
        UsageError: if there is no such option, a value has the wrong type, or one is missing.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    from vidiff.cli.names import install

    component = get_component("metric", name)
    taken = inspect.signature(component.cls).parameters
    given = [option.removeprefix("--").partition("=")[0].partition(".")[0] for option in options]
    if unknown := [key for key in given if key not in taken]:
        parts = {name: _options_of_part(p.default) for name, p in taken.items()}
        known = [*taken, *(f"{name}.{one}" for name, part in parts.items() for one in part)]
        raise UsageError(
            f"metric {name} has no option {unknown[0]!r}{nearest(unknown[0], known)}; known: "
            f"{', '.join(known) or 'none'}"
        )
    for key, parameter in taken.items():
        if parameter.default is parameter.empty and key not in given:
            raise UsageError(f"metric {name} needs --{name}.{key}")
    install()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(component.cls, as_group=False)
    try:
        parsed = parser.instantiate(parser.parse_args(list(options)))
    except ArgumentError as error:
        raise UsageError(f"metric {name}: {explain(str(error))}") from error
    return component.cls(**parsed.as_dict())


def change_protocol(protocol: Protocol, options: Sequence[str]) -> Protocol:
    """A protocol with options changed.

    Raises:
        UsageError: if there is no such option, or a value is of the wrong type or out of range.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    given = {option.removeprefix("--").partition("=")[0]: _as_list(option) for option in options}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Protocol, as_group=False, skip={"name"})
    try:
        parsed = parser.parse_args([o for name, o in given.items() if name in protocol.record])
        return protocol.change(**{name: parsed.get(name) for name in given})
    except (ArgumentError, ValueError) as error:
        raise UsageError(f"protocol: {explain(str(error))}") from error


def shared_options(settings: Mapping[str, Any], metric: str) -> list[str]:
    """The settings of a dataset that are also options of a metric, as options."""
    known = inspect.signature(get_component("metric", metric).cls).parameters
    return [f"--{name}={json.dumps(value)}" for name, value in settings.items() if name in known]


def read_dataset(config: Path) -> Mapping[str, Any]:
    """The settings of the dataset in a run's config.

    Raises:
        ValueError: if the file is missing, or is no config with a dataset.
        YamlError: if it is no YAML.
    """
    if not config.exists():
        raise ValueError(f"--config {config} does not exist")
    try:
        dataset = read_yaml(config)["data"]["dataset"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"--config {config} is no config with a data.dataset") from error
    return (dataset.get("init_args") or {}) if isinstance(dataset, dict) else {}


def _as_list(option: str) -> str:
    """``--size=64,96`` as ``--size=[64,96]``."""
    name, _, value = option.partition("=")
    return f"{name}=[{value}]" if name == "--size" and value[:1].isdigit() else option


def _options_of_part(default: Any) -> list[str]:
    """The options of the components that can replace a default one, as ``weights`` of a flow."""
    kinds = [one.kind for one in all_components() if one.cls is default]
    parts = (one.cls for one in all_components() if one.kind in kinds)
    return sorted({name for part in parts for name in arguments_of(part)})
