"""The examples in docstrings run, and what is public has one."""

from __future__ import annotations

import doctest
import importlib
import inspect
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_docstrings import modules, public

import vidiff
import vidiff_eval
from vidiff.plugins import load_all
from vidiff.registry import all_or_nothing, get_kind, list_components

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

PACKAGES = ("vidiff.registry", "vidiff_eval.statistics")
"""Of these, each public function has an example of its own; so has each registered metric."""

OTHERS = (
    "vidiff.training.loading:load",
    "vidiff.generation:sample",
    "vidiff_eval.metrics.base:SetMetric.__call__",
    "vidiff_eval.metrics.torchmetrics_adapter:Accumulator",
)


class TakeBack(Exception):
    """Ends a registration that is undone."""


def source_of(module: str) -> str:
    package = vidiff if module.partition(".")[0] == "vidiff" else vidiff_eval
    path = Path(package.__path__[0], *module.split(".")[1:])
    return (path.with_suffix(".py") if not path.is_dir() else path / "__init__.py").read_text()


def has_example(thing: Any) -> bool:
    return bool(doctest.DocTestParser().get_examples(thing.__doc__ or ""))


def functions_of(package: str) -> list[tuple[str, Any]]:
    inside = [name for name in modules() if f"{name}.".startswith(f"{package}.")]
    return [
        (f"{name}.{thing}", value)
        for name in inside
        for thing, value in public(importlib.import_module(name))
        if inspect.isfunction(value) and "." not in thing
    ]


@pytest.mark.parametrize("name", [name for name in modules() if ">>> " in source_of(name)])
def test_examples_run(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with suppress(TakeBack), all_or_nothing():  # what examples register
        result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
        raise TakeBack
    assert result.attempted, f"the examples of {name} are in no docstring"
    assert not result.failed, f"{result.failed} examples of {name} failed, see above"


@pytest.mark.parametrize("package", PACKAGES)
def test_each_public_function_has_an_example(package: str) -> None:
    found = functions_of(package)
    assert found, f"{package} has no functions"
    missing = [name for name, function in found if not has_example(function)]
    assert not missing, f"no example in {', '.join(missing)}"


def test_each_metric_has_an_example() -> None:
    load_all()
    components = get_kind("metric").components
    ours = [name for name in list_components("metric") if components[name].package == "vidiff_eval"]
    assert "fvd" in ours
    missing = [name for name in ours if not has_example(components[name].cls)]
    assert not missing, f"no example in {', '.join(missing)}"


@pytest.mark.parametrize("name", OTHERS)
def test_what_readers_begin_with_has_an_example(name: str) -> None:
    module, _, path = name.partition(":")
    thing: Any = importlib.import_module(module)
    for part in path.split("."):
        thing = getattr(thing, part)
    assert has_example(thing)
