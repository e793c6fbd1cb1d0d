"""Conformance checks: does a component keep the promises of its kind?

A plugin's test is one line::

    from vidiff.testing import check_component

    def test_my_block() -> None:
        check_component("attention", "my_block")

Every check builds the component small, and compares what it does with what the base class's
docstring promises; a broken promise is an ``AssertionError`` that says which. vidiff's own tests
run the same checks over everything that is registered. Each kind has a file here.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
from typing import Any

import docstring_parser
import torch

from vidiff.building import describe
from vidiff.faults import place_of
from vidiff.plugins import load_builtin
from vidiff.registry import Component, get_component, get_kind

__all__ = ["check_component", "is_checked"]


def check_component(kind: str, name: str, **settings: Any) -> None:
    """Build a component with small dimensions and check what its kind promises.

    Args:
        kind: for example ``"attention"``.
        name: under which it is registered.
        settings: constructor arguments, where the defaults would be slow or some are required.

    Raises:
        AssertionError: if a promise is broken.
        ValueError: if there is no such component.
    """
    load_builtin()
    component = get_component(kind, name)
    try:
        _check_documented(component)
        _check_described(component, settings)
        if is_checked(kind):
            check = importlib.import_module(f"vidiff.testing.{kind}").check
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                check(functools.partial(component.cls, **settings))
    except AssertionError as broken:
        raise AssertionError(f"{kind} {name!r} ({place_of(component.cls)}): {broken}") from broken


def is_checked(kind: str) -> bool:
    """Whether there are checks of a kind's own promises, besides those of every component."""
    return importlib.util.find_spec(f"vidiff.testing.{kind}") is not None


def _check_documented(component: Component) -> None:
    """A line for lists; a type and a line for each argument that a config can set."""
    assert component.summary, "the class needs a docstring"
    documented: set[str] = set()
    for base in component.cls.__mro__:
        parsed = docstring_parser.parse(base.__dict__.get("__doc__") or "")
        documented |= {parameter.arg_name for parameter in parsed.params}
    given = get_kind(component.kind).given
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(component.cls).parameters.values()
    arguments = {p.name: p for p in parameters if p.kind not in variadic and p.name not in given}
    missing = ", ".join(sorted(arguments.keys() - documented))
    assert not missing, f"the class's docstring has no line under Args: for {missing}"
    untyped = ", ".join(name for name, p in arguments.items() if p.annotation is p.empty)
    assert not untyped, f"no type for {untyped}, by which a config could be checked"
    for name, parameter in arguments.items():
        try:
            describe(None if parameter.default is parameter.empty else parameter.default)
        except TypeError:
            raise AssertionError(
                f"the default of {name}, {parameter.default!r}, is no plain value, so no config "
                "can hold it: take a number, a text, a list of such, a component's class or None"
            ) from None


def _check_described(component: Component, settings: dict[str, Any]) -> None:
    """Its arguments are plain values or parts, so that a checkpoint can say how it was built."""
    node = describe(functools.partial(component.cls, **settings))
    assert node["class_path"] == component.class_path
