"""Main effects and interactions: of cells whose effects are known."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from vidiff.ablation.judge.statistics.contrasts import Effect, compare, interactions, main_effects
from vidiff.schema import plain

AXES = {"depth": ["2", "4"], "width": ["small", "large"]}
BASELINE = {"depth": "2", "width": "small"}
Table = dict[tuple[tuple[str, str], ...], dict[int, np.ndarray]]


def crossed(
    axes: dict[str, list[str]],
    effect: dict[tuple[str, ...], float],
    num_seeds: int = 3,
    num_prompts: int = 8,
    noise: float = 0.0,
) -> Table:
    """Cells whose values are the effects of all subsets of their values, prompts and seeds."""
    generator = np.random.default_rng(0)
    prompts, seeds = generator.normal(size=num_prompts), generator.normal(size=num_seeds)
    cells: Table = {}
    for values in itertools.product(*axes.values()):
        subsets = itertools.chain.from_iterable(
            itertools.combinations(values, size) for size in range(1, len(values) + 1)
        )
        level = sum(effect.get(subset, 0.0) for subset in subsets)
        cells[tuple(zip(axes, values, strict=True))] = {
            seed: level + prompts + seeds[seed] + noise * generator.normal(size=num_prompts)
            for seed in range(num_seeds)
        }
    return cells


def by_name(effects: list[Effect]) -> dict[tuple[str, ...], Effect]:
    return {effect.values: effect for effect in effects}


def test_two_by_two_in_closed_form() -> None:
    cells = crossed(AXES, {("4",): 1.0, ("large",): 10.0, ("4", "large"): 4.0})
    main = by_name(main_effects(cells, AXES, BASELINE, higher_is_better=True))
    assert list(main) == [("4",), ("large",)]
    # Of a value on average over the other axis: half of the interaction is in it.
    assert main[("4",)].comparison.difference == pytest.approx(1.0 + 4.0 / 2)
    assert main[("large",)].comparison.difference == pytest.approx(10.0 + 4.0 / 2)
    assert main[("4",)].num_settings == 2
    (both,) = interactions(cells, AXES, BASELINE, higher_is_better=True)
    assert (both.axes, both.values, both.against) == (
        ("depth", "width"),
        ("4", "large"),
        ("2", "small"),
    )
    assert both.comparison.difference == pytest.approx(4.0)
    assert both.num_settings == 1


def test_axes_without_interaction_have_none() -> None:
    cells = crossed(AXES, {("4",): 1.0, ("large",): 10.0}, num_prompts=40, noise=0.1)
    (both,) = interactions(cells, AXES, BASELINE, higher_is_better=True)
    assert both.comparison.difference == pytest.approx(0, abs=0.1)
    assert both.comparison.verdict == "cannot tell"
    main = main_effects(cells, AXES, BASELINE, higher_is_better=True)
    assert {effect.comparison.verdict for effect in main} == {"better"}


def test_three_axes_are_averaged_over_the_others() -> None:
    axes = {"a": ["a0", "a1"], "b": ["b0", "b1", "b2"], "c": ["c0", "c1"]}
    baseline = {"a": "a0", "b": "b0", "c": "c0"}
    effect = {("a1",): 2.0, ("a1", "b1"): 3.0, ("a1", "b2"): -6.0, ("a1", "b1", "c1"): 8.0}
    cells = crossed(axes, effect)
    main = by_name(main_effects(cells, axes, baseline, higher_is_better=True))
    assert list(main) == [("a1",), ("b1",), ("b2",), ("c1",)]
    assert main[("a1",)].comparison.difference == pytest.approx(2 + (3 - 6) / 3 + 8 / 6)
    assert main[("a1",)].num_settings == 6
    assert main[("b1",)].comparison.difference == pytest.approx(3 / 2 + 8 / 4)
    pairs = by_name(interactions(cells, axes, baseline, higher_is_better=True))
    assert list(pairs) == [
        ("a1", "b1"),
        ("a1", "b2"),
        ("a1", "c1"),
        ("b1", "c1"),
        ("b2", "c1"),
    ]
    assert pairs[("a1", "b1")].comparison.difference == pytest.approx(3 + 8 / 2)
    assert pairs[("a1", "b2")].comparison.difference == pytest.approx(-6)
    assert pairs[("a1", "c1")].comparison.difference == pytest.approx(8 / 3)
    assert pairs[("b1", "c1")].comparison.difference == pytest.approx(8 / 2)


def test_one_setting_is_the_difference_of_two_cells() -> None:
    """Where cells of other settings are missing, an effect is what ``compare`` says."""
    cells = crossed(AXES, {("4",): 1.0}, noise=1.0)
    del cells[(("depth", "4"), ("width", "large"))]
    main = by_name(main_effects(cells, AXES, BASELINE, higher_is_better=True))
    small = ("width", "small")
    found = compare(
        cells[(("depth", "4"), small)], cells[(("depth", "2"), small)], higher_is_better=True
    )
    assert main[("4",)].comparison == found
    assert main[("4",)].num_settings == 1
    (both,) = interactions(cells, AXES, BASELINE, higher_is_better=True)
    assert both.num_settings == 0
    assert both.comparison.p is None


def test_seeds_that_a_cell_lacks_do_not_count() -> None:
    """A seed that is there in some settings only would weigh these more than others."""
    cells = crossed(AXES, {("4",): 1.0, ("4", "large"): 4.0}, noise=0.5)
    del cells[(("depth", "4"), ("width", "large"))][1]
    main = by_name(main_effects(cells, AXES, BASELINE, higher_is_better=True))
    assert main[("4",)].comparison.num_seeds == 2
    for seen in cells.values():
        seen.pop(1, None)
    without = by_name(main_effects(cells, AXES, BASELINE, higher_is_better=True))
    assert without[("4",)].comparison == main[("4",)].comparison


def test_a_cell_without_values_leaves_its_setting_out() -> None:
    cells = crossed(AXES, {("4",): 1.0, ("4", "large"): 4.0})
    full = dict(cells)
    cells[(("depth", "2"), ("width", "large"))] = {0: np.full(8, np.nan)}
    main = by_name(main_effects(cells, AXES, BASELINE, higher_is_better=True))
    assert main[("4",)].num_settings == 1
    assert main[("4",)].comparison.difference == pytest.approx(1.0)
    assert main[("4",)].comparison.num_seeds == 3
    assert len(full) == 4


def test_cells_are_known_by_choices_in_any_order() -> None:
    cells = crossed(AXES, {("4",): 1.0}, noise=1.0)
    found = main_effects(cells, AXES, BASELINE, higher_is_better=True)
    turned = {frozenset(reversed(choices)): seen for choices, seen in cells.items()}
    assert main_effects(turned, AXES, BASELINE, higher_is_better=True) == found


def test_the_baseline_need_not_be_the_first_value() -> None:
    cells = crossed(AXES, {("4",): 1.0})
    turned = main_effects(cells, AXES, BASELINE | {"depth": "4"}, higher_is_better=True)
    assert (turned[0].values, turned[0].against) == (("2",), ("4",))
    assert turned[0].comparison.difference == pytest.approx(-1.0)


@pytest.mark.parametrize("axes", [{"depth": ["2", "4"]}, {"depth": ["2", "4"], "width": ["small"]}])
def test_axes_that_are_not_crossed_have_no_effects(axes: dict[str, list[str]]) -> None:
    cells = crossed(axes, {("4",): 1.0})
    assert main_effects(cells, axes, BASELINE, higher_is_better=True) == []
    assert interactions(cells, axes, BASELINE, higher_is_better=True) == []


def test_values_of_an_axis_are_a_family() -> None:
    axes = {"a": ["a0", "a1", "a2", "a3"], "b": ["b0", "b1"]}
    cells = crossed(axes, {("a1",): 0.3}, num_prompts=30, noise=1.0)
    found = main_effects(cells, axes, {"a": "a0", "b": "b0"}, higher_is_better=True)
    smallest = min((effect.comparison for effect in found[:3]), key=lambda one: one.p or 1)
    assert smallest.p_holm == pytest.approx(min(1.0, 3 * smallest.p))
    assert found[3].comparison.p_holm == found[3].comparison.p  # alone in its axis


def test_records_name_the_effect() -> None:
    cells = crossed(AXES, {("4",): 1.0})
    main = plain(main_effects(cells, AXES, BASELINE, higher_is_better=True)[0])
    assert (main["axes"], main["values"], main["against"]) == (["depth"], ["4"], ["2"])
    assert (
        main["comparison"]["verdict"]
        == main_effects(cells, AXES, BASELINE, higher_is_better=True)[0].comparison.verdict
    )
    both = plain(interactions(cells, AXES, BASELINE, higher_is_better=True)[0])
    assert (both["axes"], both["values"]) == (["depth", "width"], ["4", "large"])
    assert json.loads(json.dumps([main, both], allow_nan=False)) == [main, both]
