from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from vidiff.registry import (
    _KINDS,
    all_or_nothing,
    get_component,
    get_kind,
    kind,
    list_components,
    list_kinds,
    nearest,
    register,
)


@kind("shape_of_test", given=("width",))
class Base(ABC):
    """A kind of this test alone."""

    @abstractmethod
    def area(self) -> float:
        """Of the shape."""


@register("square")
class Square(Base):
    """Equal sides.

    And more to say.
    """

    def __init__(self, *, width: float, scale: float = 1.0) -> None:
        self.width = width * scale

    def area(self) -> float:
        return self.width**2


KIND = _KINDS.pop("shape_of_test")  # other tests list all kinds


@pytest.fixture(autouse=True, scope="module")
def _known_here_alone() -> Iterator[None]:
    _KINDS[KIND.name] = KIND
    yield
    del _KINDS[KIND.name]


def test_a_registered_class_is_found_with_its_kind_package_path_and_summary() -> None:
    square = get_component("shape_of_test", "square")
    assert (square.cls, square.kind, square.name) == (Square, "shape_of_test", "square")
    assert square.class_path == f"{Square.__module__}.Square"
    assert square.package == Square.__module__.partition(".")[0]
    assert square.summary == "Equal sides."
    assert list_components("shape_of_test") == ["square"]
    assert get_kind("shape_of_test") in list_kinds()
    register("square")(Square)  # a module that is imported again
    assert list_components("shape_of_test") == ["square"]


def test_an_unknown_name_says_the_nearest_and_all_known() -> None:
    with pytest.raises(ValueError, match=r"unknown shape_of_test 'sqare', did you mean 'square'\?"):
        get_component("shape_of_test", "sqare")
    with pytest.raises(ValueError, match=r"unknown kind 'shape_of_tst', did you mean 'shape_of_te"):
        get_kind("shape_of_tst")
    assert nearest("zzz", ["square"]) == ""


def test_a_class_that_cannot_be_a_component_is_refused_when_it_is_registered() -> None:
    class Abstract(Base):
        """Says nothing of its area."""

        def __init__(self, *, width: float) -> None: ...

    class Other(Square):
        """Wants the name of another."""

    class Stray:
        """Extends no kind."""

    with pytest.raises(ValueError, match="is abstract: implement area"):
        register("abstract")(Abstract)
    with pytest.raises(ValueError, match=r"Other\) clashes with .*Square"):
        register("square")(Other)
    with pytest.raises(ValueError, match="exactly one kind; it extends: none"):
        register("stray")(Stray)
    with pytest.raises(ValueError, match=r"kind 'shape_of_test' of .*Stray is taken by .*Base"):
        kind("shape_of_test")(Stray)
    assert list_components("shape_of_test") == ["square"]


def test_all_or_nothing_takes_back_components_and_kinds() -> None:
    class Circle(Square):
        """Round."""

    def fail() -> None:
        with all_or_nothing():
            register("circle")(Circle)
            kind("kind_of_failure")(type("Failing", (ABC,), {}))
            raise RuntimeError("late")

    with pytest.raises(RuntimeError, match="late"):
        fail()
    assert list_components("shape_of_test") == ["square"]
    assert "kind_of_failure" not in {known.name for known in list_kinds()}
    with all_or_nothing():
        register("circle")(Circle)
    assert list_components("shape_of_test") == ["circle", "square"]
