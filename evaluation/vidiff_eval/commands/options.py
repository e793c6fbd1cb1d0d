"""Options of metrics and protocols on the command line: ``--fvd.weights``, ``--protocol.fps``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from vidiff.building import arguments_of
from vidiff.cli.errors import explain
from vidiff.errors import UsageError
from vidiff.registry import all_components, get_component, list_components, nearest
from vidiff.yaml_files import read_yaml
from vidiff_eval.metrics.base import VideoMetric
from vidiff_eval.protocols.protocol import Protocol

Options = dict[str, list[str]]
"""By the word before the first dot, options as jsonargparse reads them: ``--weights=PATH``."""


def read_options(words: Sequence[str]) -> Options:
    """Sort ``--NAME.OPTION VALUE`` and ``--NAME.OPTION=VALUE`` by NAME.

    Raises:
        UsageError: if a word is no such option, or NAME is no metric.
    """
    known = ["protocol", *list_components("metric")]
    options: Options = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.partition("=")
        name, dot, option = key.removeprefix("--").partition(".")
        if not (word.startswith("--") and dot and option):
            raise UsageError(f"evaluate: unknown option {word!r}; `vidiff evaluate --help` has all")
        if name not in known:
            raise UsageError(
                f"evaluate: no metric {name!r} for {key}{nearest(name, known)}; "
                f"known: {', '.join(known)}"
            )
        if not equals:
            if not rest:
                raise UsageError(f"evaluate: {key} needs a value")
            value = rest.pop(0)
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
    given = {option.removeprefix("--").partition("=")[0].partition(".")[0] for option in options}
    for key, parameter in inspect.signature(component.cls).parameters.items():
        if parameter.default is parameter.empty and key not in given:
            raise UsageError(f"metric {name} needs --{name}.{key}")
    install()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(component.cls, as_group=False)
    try:
        parsed = parser.instantiate(parser.parse_args(list(options)))
    except ArgumentError as error:
        if asked := _unknown(component.cls, options):
            raise UsageError(asked.format(name=name)) from error
        raise UsageError(f"metric {name}: {explain(str(error))}") from error
    return component.cls(**parsed.as_dict())


def change_protocol(protocol: Protocol, options: Sequence[str]) -> Protocol:
    """A protocol with options changed.

    Raises:
        UsageError: if there is no such option, or a value is of the wrong type or out of range.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    known = [field.name for field in fields(Protocol) if field.name != "name"]
    given = [option.removeprefix("--").partition("=")[0] for option in options]
    if unknown := [name for name in given if name not in known]:
        raise UsageError(
            f"a protocol has no {unknown[0]!r}{nearest(unknown[0], known)}; "
            f"known: {', '.join(known)}"
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Protocol, as_group=False, skip={"name"})
    try:
        parsed = parser.parse_args([_as_list(option) for option in options])
        return protocol.change(**{name: parsed[name] for name in given})
    except (ArgumentError, ValueError) as error:
        raise UsageError(f"protocol: {explain(str(error))}") from error


def dataset_options(config: Path, metric: str) -> list[str]:
    """The options of a metric that the dataset of a run's config has too, with its values.

    Raises:
        ValueError: if the file is missing, or is no config with a dataset.
        YamlError: if it is no YAML.
    """
    dataset = read_dataset(config)
    settings: Mapping[str, Any] = {}
    if isinstance(dataset, dict):
        settings = dataset.get("init_args") or {}
    known = inspect.signature(get_component("metric", metric).cls).parameters
    return [f"--{name}={json.dumps(value)}" for name, value in settings.items() if name in known]


def read_dataset(config: Path) -> Any:
    """The dataset that a run's config names.

    Raises:
        ValueError: if the file is missing, or is no config with a dataset.
        YamlError: if it is no YAML.
    """
    if not config.exists():
        raise ValueError(f"--config {config} does not exist")
    try:
        return read_yaml(config)["data"]["dataset"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"--config {config} is no config with a data.dataset") from error


def _as_list(option: str) -> str:
    """``--size=64,96`` as ``--size=[64,96]``."""
    name, _, value = option.partition("=")
    return f"{name}=[{value}]" if name == "--size" and value[:1].isdigit() else option


def _unknown(cls: type, options: Sequence[str]) -> str:
    """What to say of an option that a metric does not have; empty if it has all."""
    taken = inspect.signature(cls).parameters
    parts = [f"{name}.{one}" for name, p in taken.items() for one in _options_of_part(p.default)]
    for option in options:
        name = option.removeprefix("--").partition("=")[0].partition(".")[0]
        if name not in taken:
            known = [*taken, *parts]
            listed = ", ".join(known) or "none"
            return f"metric {{name}} has no option {name!r}{nearest(name, known)}; known: {listed}"
    return ""


def _options_of_part(default: Any) -> list[str]:
    """The options of the components that can replace a default one, as ``weights`` of a flow."""
    kinds = [one.kind for one in all_components() if one.cls is default]
    parts = (one.cls for one in all_components() if one.kind in kinds)
    return sorted({name for part in parts for name in arguments_of(part)})
