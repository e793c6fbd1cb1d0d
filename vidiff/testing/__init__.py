"""Conformance checks: does a component keep the promises of its kind?

A plugin's test is one line::

    from vidiff.testing import check_component

    def test_my_block() -> None:
        check_component("attention", "my_block")

Every check builds the component small, and compares what it does with what the base class's
docstring promises; a broken promise is an ``AssertionError`` that says which. vidiff's own tests
run the same checks over everything that is registered.
"""

from __future__ import annotations

import functools
import importlib
import sys
from importlib.util import find_spec
from typing import Any

import torch

from vidiff.config_nodes import arguments_of, describe, documented
from vidiff.faults import place_of
from vidiff.plugins import load_builtin
from vidiff.registry import Component, get_component, get_kind
from vidiff.testing import diffusion, models, prompts, running, tokens  # noqa: F401, each fills CHECKS
from vidiff.testing.common import CHECKS

__all__ = ["check_component", "is_checked"]


def check_component(kind: str, name: str, **settings: Any) -> None:
    """Build a component with small dimensions and check what its kind promises.

    ``settings`` are constructor arguments, where defaults would be slow or some are required. An
    ``AssertionError`` says which promise is broken.
    """
    load_builtin()
    component = get_component(kind, name)
    _load_checks(kind)
    make = functools.partial(component.cls, **settings)
    try:
        _check_documented(component)
        # Plain values and parts, so that a checkpoint can say how it was built.
        assert describe(make)["class_path"] == component.class_path
        if is_checked(kind):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                CHECKS[kind](make)
    except AssertionError as broken:
        raise AssertionError(f"{kind} {name!r} ({place_of(component.cls)}): {broken}") from broken


def is_checked(kind: str) -> bool:
    """Whether there are checks of a kind's own promises, besides those of every component."""
    _load_checks(kind)
    return kind in CHECKS


def _load_checks(kind: str) -> None:
    """Import the module ``testing`` of the package that declares a kind, where there is one."""
    package = get_kind(kind).base.__module__.partition(".")[0]
    if hasattr(sys.modules[package], "__path__") and find_spec(f"{package}.testing"):
        importlib.import_module(f"{package}.testing")


def _check_documented(component: Component) -> None:
    """A line for lists; a type and a line for each argument that a config can set."""
    assert component.summary, "the class needs a docstring"
    given = get_kind(component.kind).given
    arguments = {n: p for n, p in arguments_of(component.cls).items() if n not in given}
    missing = ", ".join(sorted(arguments.keys() - documented(component.cls).keys()))
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
