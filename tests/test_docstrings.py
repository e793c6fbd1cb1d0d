"""Every public class, function and method says what it is, itself or through its base class."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import vidiff
import vidiff_eval


def modules() -> list[str]:
    found = [
        info.name
        for package in (vidiff, vidiff_eval)
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    return sorted(name for name in found if not name.rpartition(".")[2].startswith("_"))


def public(module: Any) -> Iterator[tuple[str, Any]]:
    """What a module defines, with the methods and properties of its classes."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(thing):
            yield name, thing
            for method, value in vars(thing).items():
                if not method.startswith("_") and (
                    inspect.isfunction(value) or isinstance(value, (property, classmethod))
                ):
                    yield f"{name}.{method}", getattr(thing, method)
        elif inspect.isfunction(thing):
            yield name, thing


@pytest.mark.parametrize("name", modules())
def test_everything_public_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    missing = [thing for thing, value in public(module) if not inspect.getdoc(value)]
    assert inspect.getdoc(module), f"{name} has no docstring"
    assert not missing, f"{name}: no docstring for {', '.join(missing)}"
