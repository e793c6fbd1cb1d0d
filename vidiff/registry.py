"""Kinds and components: the one table that names every part of a model.

A *kind* is an abstract base class, a *component* is a concrete subclass with a short name::

    @kind("patchifier", given=("in_channels", "out_channels", "width"))
    class Patchifier(nn.Module, ABC): ...

    @register("tubelet")
    class Tubelet(Patchifier): ...

YAML, the command line, help, tests and reports all read this table, so a class that is registered
is a class that can be swapped in by one line. This module imports nothing but the standard library.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class Component:
    """One registered class."""

    kind: str
    name: str
    cls: type

    @property
    def package(self) -> str:
        """The top-level package (or the file of a local plugin) that the class comes from."""
        return self.cls.__module__.partition(".")[0]

    @property
    def class_path(self) -> str:
        """The dotted path that a saved config holds."""
        return class_path(self.cls)

    @property
    def file(self) -> str | None:
        """The file that the class comes from."""
        return getattr(sys.modules.get(self.cls.__module__), "__file__", None)

    @property
    def summary(self) -> str:
        """The first line of the class's docstring."""
        return (inspect.getdoc(self.cls) or "").strip().partition("\n")[0]


@dataclass(frozen=True)
class Kind:
    """A family of interchangeable components.

    ``given`` are keyword-only constructor arguments that neighbouring parts decide, never the user;
    a component is given those that its constructor names.
    """

    name: str  # in the singular, as in YAML and in help
    base: type  # the abstract class that says what the family promises
    given: tuple[str, ...] = ()
    components: dict[str, Component] = field(default_factory=dict, compare=False)


_KINDS: dict[str, Kind] = {}


def kind(name: str, given: Iterable[str] = ()) -> Callable[[T], T]:
    """Declare the decorated abstract base class to be the kind ``name``, which must be free.

    Example:
        >>> @kind("colour")
        ... class Colour: ...
        >>> get_kind("colour").base is Colour
        True
    """

    def declare(base: T) -> T:
        taken = _KINDS.get(name)
        ours, theirs = class_path(base), class_path(taken.base) if taken else None
        if theirs not in (None, ours):
            raise ValueError(f"kind {name!r} of {ours} is taken by {theirs}")
        _KINDS[name] = Kind(name, base, tuple(given))
        return base

    return declare


def register(name: str) -> Callable[[T], T]:
    """Register the decorated class under ``name`` in the kind whose base class it extends.

    A ``ValueError`` if the class extends no kind or several, is abstract, or the name is taken.

    Example:
        >>> @kind("colour")
        ... class Colour: ...
        >>> @register("red")
        ... class Red(Colour): ...
        >>> get_component("colour", "red").cls is Red
        True
    """

    def add(cls: T) -> T:
        found = _kind_of(cls)
        where = f"{found.name} {name!r} ({class_path(cls)})"
        if missing := sorted(getattr(cls, "__abstractmethods__", ())):
            raise ValueError(f"{where} is abstract: implement {', '.join(missing)}")
        taken = found.components.get(name)
        if taken is not None and taken.class_path != class_path(cls):
            raise ValueError(
                f"{where} clashes with {taken.class_path}, registered under that name; rename one"
            )
        found.components[name] = Component(found.name, name, cls)
        return cls

    return add


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """Take back what was declared and registered inside, if it raises.

    Example:
        >>> try:
        ...     with all_or_nothing():
        ...         part = kind("half_a_plugin")(type("Part", (), {}))
        ...         raise ImportError
        ... except ImportError:
        ...     "half_a_plugin" in [known.name for known in list_kinds()]
        False
    """
    before = {name: dict(known.components) for name, known in _KINDS.items()}
    try:
        yield
    except BaseException:
        for name in list(_KINDS):
            components = _KINDS[name].components
            components.clear()
            components.update(before.get(name, {}))
            if name not in before:
                del _KINDS[name]
        raise


def get_kind(name: str) -> Kind:
    """Return the kind called ``name``; a ``ValueError`` names the nearest and all known ones.

    Example:
        >>> import vidiff.patchifiers
        >>> get_kind("patchifier").given
        ('in_channels', 'out_channels', 'width')
        >>> get_kind("patchfier")
        Traceback (most recent call last):
        ValueError: unknown kind 'patchfier', did you mean 'patchifier'?; known: ...
    """
    if name not in _KINDS:
        raise ValueError(f"unknown kind {name!r}{nearest(name, _KINDS)}; known: {_names(_KINDS)}")
    return _KINDS[name]


def get_component(kind_name: str, name: str) -> Component:
    """Return a component; a ``ValueError`` names the nearest and all known ones.

    Example:
        >>> import vidiff.patchifiers
        >>> get_component("patchifier", "tubelet").class_path
        'vidiff.patchifiers.tubelet.Tubelet'
    """
    components = get_kind(kind_name).components
    if name not in components:
        raise ValueError(
            f"unknown {kind_name} {name!r}{nearest(name, components)}; known: {_names(components)}"
        )
    return components[name]


def list_kinds() -> list[Kind]:
    """Every kind, by name.

    Example:
        >>> import vidiff.patchifiers
        >>> "patchifier" in [kind.name for kind in list_kinds()]
        True
    """
    return [_KINDS[name] for name in sorted(_KINDS)]


def all_components() -> list[Component]:
    """Every component, by kind.

    Example:
        >>> import vidiff.patchifiers
        >>> {"frame", "tubelet"} <= {component.name for component in all_components()}
        True
    """
    return [component for kind in list_kinds() for component in kind.components.values()]


def list_components(kind_name: str) -> list[str]:
    """The names registered in one kind, sorted: what tests parametrise over.

    Example:
        >>> import vidiff.patchifiers
        >>> list_components("patchifier")
        ['frame', 'tubelet']
    """
    return sorted(get_kind(kind_name).components)


def fitting(kind_name: str, fits: Callable[[Any], bool]) -> str:
    """The names of a kind's components whose class fits, for an error that refuses others.

    Example:
        >>> import vidiff.patchifiers
        >>> fitting("patchifier", lambda cls: cls.__name__.startswith("T"))
        'tubelet'
    """
    components = get_kind(kind_name).components.values()
    return ", ".join(sorted(component.name for component in components if fits(component.cls)))


def nearest(name: str, known: Iterable[str]) -> str:
    """``", did you mean 'x'?"`` when something known is close to ``name``, else an empty string.

    Example:
        >>> nearest("tublet", ["frame", "tubelet"])
        ", did you mean 'tubelet'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def _names(known: Iterable[str]) -> str:
    return ", ".join(sorted(known)) or "none"


def class_path(cls: type) -> str:
    """The dotted path that a class is imported by.

    Example:
        >>> class_path(Kind)
        'vidiff.registry.Kind'
    """
    return f"{cls.__module__}.{cls.__qualname__}"


def _kind_of(cls: type) -> Kind:
    kinds = [k for k in _KINDS.values() if issubclass(cls, k.base)]
    if len(kinds) != 1:
        raise ValueError(
            f"{class_path(cls)} must extend the base class of exactly one kind; it extends: "
            f"{', '.join(k.name for k in kinds) or 'none'}. Kinds: {_names(_KINDS)}"
        )
    return kinds[0]
