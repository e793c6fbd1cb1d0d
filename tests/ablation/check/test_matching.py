"""Cells are made equal to the baseline, and what cannot be is refused."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import yaml
from small_config import small_config

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.file import Match
from vidiff.ablation.ask.nodes import Config
from vidiff.ablation.check.checker import Checker
from vidiff.ablation.check.solve import DOUBLINGS, GAP, _Search, solve, steps_of_equal_time

BASE = small_config({
    "data.batch_size": 4, "trainer.max_steps": 500,
    "model.denoiser.width": 96, "model.denoiser.depth": 3,
    "model.denoiser.patchifier.patch_size": [2, 4, 4], "model.conditions.text.text_dim": 32,
})  # fmt: skip
BLOCKS = ["adaln_zero", "adaln", "cross_attention", "in_context"]
WIDTH = "model.denoiser.width"
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def checker() -> Checker:
    return Checker()


def cell(block: str) -> Config:
    return nodes.replace(BASE, {"model.denoiser.conditioning": block})


@cache
def planned(block: str, width: int) -> int:
    """Operations of a step, as ``vidiff plan`` says."""
    from vidiff.__main__ import main

    config = nodes.replace(cell(block), {WIDTH: width})
    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        assert main(["plan", "-c", yaml.safe_dump(config), "--json"]) == 0
    plan = json.loads(page.getvalue())
    return plan["flops_per_step_per_device"] + plan["optimizer_flops_per_step_per_device"]


@cache
def trained(block: str, width: int) -> int:
    """Parameters of a real model on the CPU."""
    from functools import partial

    from vidiff.conditioning import AdaLN, AdaLNZero, CrossAttention, InContext
    from vidiff.conditions import Words
    from vidiff.denoisers import DiT
    from vidiff.patchifiers import Tubelet
    from vidiff.training import DiffusionTask

    classes = dict(zip(BLOCKS, (AdaLNZero, AdaLN, CrossAttention, InContext), strict=True))
    task = DiffusionTask(
        denoiser=partial(
            DiT, width=width, depth=3, num_heads=2, conditioning=classes[block],
            patchifier=partial(Tubelet, patch_size=(2, 4, 4)),
        ),
        conditions={
            "text": partial(Words, text_dim=32, depth=1, num_heads=2, num_rows=64)
        },
    )  # fmt: skip
    task.configure_model()
    assert next(task.denoiser.parameters()).device.type == "cpu"
    return sum(p.numel() for part in task.trained_parts().values() for p in part.parameters())


@pytest.mark.parametrize("block", BLOCKS[1:])
def test_real_models_have_as_many_parameters_as_the_baseline(checker: Checker, block: str) -> None:
    match = Match("parameters")
    before = copy.deepcopy(cell(block))
    config, solved, equality = solve(before, cell("adaln_zero"), match, checker)
    width = solved[WIDTH]
    assert width > 96, "adaLN-Zero has the most parameters of all blocks at one width"
    ours, theirs = trained(block, width), trained("adaln_zero", 96)
    assert equality == ours / theirs
    assert abs(equality - 1) <= 0.02
    step = 4 if width % 4 == 0 else 2  # of twice the number of heads, if these come near enough
    others = {w: trained(block, w) / theirs for w in (width - step, width + step)}
    assert all(abs(equality - 1) <= abs(other - 1) for other in others.values()), "none is nearer"
    if step == 2:
        assert all(abs(other - 1) > 0.02 for other in others.values())
    # Nothing but the width is another.
    assert nodes.get(config, WIDTH) == width
    assert nodes.replace(config, {WIDTH: 96}) == before == cell(block)


@pytest.mark.parametrize("block", [*[pytest.param(b, marks=SLOW) for b in BLOCKS[1:3]], BLOCKS[3]])
def test_steps_are_solved_for_equal_flops_as_a_plan_counts_them(
    checker: Checker, block: str
) -> None:
    config, solved, equality = solve(cell(block), cell("adaln_zero"), Match("flops"), checker)
    steps = solved["trainer.max_steps"]
    ours, theirs = planned(block, 96), 500 * planned("adaln_zero", 96)
    assert equality == steps * ours / theirs
    assert abs(steps * ours - theirs) <= ours / 2, "no other number of steps is nearer"
    assert config["trainer"]["max_steps"] == steps
    assert checker.costs(config).flops == steps * ours


def test_a_width_is_solved_for_equal_flops(checker: Checker) -> None:
    match = Match("flops", by=WIDTH, multiple=2)
    _, solved, equality = solve(cell("cross_attention"), cell("adaln_zero"), match, checker)
    width, theirs = solved[WIDTH], checker.costs(cell("adaln_zero")).flops
    ratios = {
        w: checker.costs(nodes.replace(cell("cross_attention"), {WIDTH: w})).flops / theirs
        for w in (width - 2, width, width + 2)
    }
    assert equality == ratios[width]
    assert min(ratios, key=lambda w: abs(ratios[w] - 1)) == width


def test_the_baseline_stays_as_it_is(checker: Checker) -> None:
    for match in (Match("parameters"), Match("flops"), Match("time")):
        assert solve(cell("adaln"), cell("adaln"), match, checker) == (cell("adaln"), {}, 1.0)


def test_steps_are_solved_for_equal_time() -> None:
    solved, equality = steps_of_equal_time(0.3, 0.2, 0.0, cell("in_context"))
    assert solved == {"trainer.max_steps": 333}
    assert equality == pytest.approx(333 * 0.3 / (500 * 0.2))


def test_steps_come_in_multiples_if_asked_for(checker: Checker) -> None:
    match = Match("flops", multiple=50, tolerance=0.1)
    _, solved, equality = solve(cell("in_context"), cell("adaln_zero"), match, checker)
    ours, theirs = (checker.costs(cell(b)).flops_per_step for b in ("in_context", "adaln_zero"))
    best = 500 * theirs / ours
    assert solved == {"trainer.max_steps": 50 * round(best / 50)}
    assert equality == pytest.approx(solved["trainer.max_steps"] / best)


@pytest.mark.parametrize(
    ("match", "changes", "said"),
    [
        (
            Match("parameters", multiple=64, tolerance=0.01), {},
            r"the nearest that can be had is model\.denoiser\.width=128, with 1\.\d+ times the "
            r"baseline's trained parameters: set match\.tolerance to 0\.\d+, or",
        ),
        (
            Match("parameters", by="model.denoiser.patchifier.patch_size"), {},
            r"match\.by: model\.denoiser\.patchifier\.patch_size is \(?\[?2, 4, 4.*whole number",
        ),
        (Match("parameters", by="model.denoiser.widht"), {}, r"model\.denoiser\.widht is None"),
        (Match("parameters", by="model.encoder.width"), {}, r"there is no model\.encoder in"),
        (
            Match("parameters", by="model.sampler.num_steps"),
            {"model.sampler": {"class_path": "euler", "init_args": {"num_steps": 2}}},
            "the count does not depend on it",
        ),
        (
            Match("parameters"), {"model.denoiser.depth": 0},
            r"no model\.denoiser\.width gives the baseline's 5\d\d\.\d k trained parameters: none "
            r"from 96 on, in steps of 4, can be built \(.*depth",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_made_equal_is_said(
    checker: Checker, match: Match, changes: dict[str, Any], said: str
) -> None:
    config = nodes.replace(cell("cross_attention"), changes)
    with pytest.raises(ValueError, match=said):
        solve(config, cell("adaln_zero"), match, checker)


def test_the_suggested_tolerance_suffices(checker: Checker) -> None:
    match = Match("parameters", multiple=64, tolerance=0.01)
    with pytest.raises(ValueError, match=r"set match\.tolerance to") as refused:
        solve(cell("adaln"), cell("adaln_zero"), match, checker)
    tolerance = float(str(refused.value).partition("tolerance to ")[2].partition(",")[0])
    solve(cell("adaln"), cell("adaln_zero"), Match("parameters", "", 64, tolerance), checker)


@pytest.mark.parametrize("impossible", [0, 3, 7])
def test_the_search_finds_what_trying_all_would(impossible: int) -> None:
    """Counts that rise in any way, with numbers between that are not possible."""
    shapes: list[Callable[[int], int]] = [
        lambda k: 40 + 3 * k,
        lambda k: 10 * k * k + 500,
        lambda k: k**3,
        lambda k: 9 * (k // 5),
    ]
    for shape, target, start in itertools.product(shapes, (90, 1000, 7_777), (4, 60, 900)):
        tried: list[int] = []

        def count(k: int, shape: Any = shape, tried: list[int] = tried) -> int:
            tried.append(k)
            if impossible and k % impossible:
                raise ValueError(f"{k} is no multiple of {impossible}")
            return shape(k)

        found, counted = _Search(count).nearest(target, start)
        everything = {k: shape(k) for k in range(max(impossible, 1), 2**13, max(impossible, 1))}
        nearest = min(abs(n - target) for n in everything.values())
        assert counted == everything[found]
        assert abs(counted - target) == nearest
        assert len(tried) == len(set(tried)), "nothing is built twice"
        rounds = 2 * abs(math.log2(found / start)) + math.log2(max(found, start)) + 6
        assert len(tried) <= rounds * max(impossible, 1)


def test_the_search_prefers_what_is_there_and_gives_up_in_the_end() -> None:
    assert _Search(lambda k: 7).nearest(7, 12) == (12, 7)
    with pytest.raises(ValueError, match="does not rise"):
        _Search(lambda k: {8: 5, 16: 9}.get(k, 20 - k)).nearest(8, 8)
    with pytest.raises(ValueError, match=f"{10 * 3 * 2 ** (DOUBLINGS - 1)} is still too little"):
        _Search(lambda k: k, 3).nearest(10**9, 30)
    tried: list[int] = []

    def never(k: int) -> int:
        tried.append(k)
        raise ValueError("no such width")

    with pytest.raises(ValueError, match=r"none from 5 on.*no such width"):
        _Search(never).nearest(10, 5)
    assert tried == list(range(5, 5 + GAP))
