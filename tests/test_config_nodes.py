"""Factories are given what their classes name."""

from __future__ import annotations

from functools import partial

from vidiff.attention import Full
from vidiff.config_nodes import describe, made
from vidiff.denoisers import DiT


class Narrow:
    """Names one of two."""

    def __init__(self, *, width: int, scale: float = 1.0) -> None:
        self.told = {"width": width, "scale": scale}


class Wide(Narrow):
    """Hands on what it does not name."""

    def __init__(self, *, depth: int, **given: int) -> None:
        super().__init__(**given)
        self.told["depth"] = depth


def test_a_factory_is_given_what_its_class_names_and_no_more() -> None:
    assert made(Narrow, width=3, depth=2).told == {"width": 3, "scale": 1.0}
    assert made(partial(Narrow, scale=2.0), width=3, depth=2).told == {"width": 3, "scale": 2.0}


def test_a_class_that_hands_on_what_it_does_not_name_is_given_what_its_bases_name() -> None:
    assert made(Wide, width=3, depth=2, height=1).told == {"width": 3, "scale": 1.0, "depth": 2}
    assert made(partial(Wide, scale=2.0), width=3, depth=2).told["scale"] == 2.0


def test_a_function_may_stand_in_the_place_of_a_class() -> None:
    assert made(lambda *, width: width, width=3, depth=2) == 3
    assert made(lambda **given: given, width=3, depth=2) == {"width": 3, "depth": 2}


def test_what_neighbouring_parts_decide_is_no_part_of_a_node() -> None:
    """Though it has a default, as ``block`` and ``signals`` do: no config accepts it."""
    node = describe(partial(DiT, width=32))["init_args"]
    assert node["width"] == 32
    assert not {"in_channels", "out_channels", "signals"} & {*node}
    assert node["attention"]["init_args"] == {"qk_norm": False}
    assert describe(Full) == node["attention"]
