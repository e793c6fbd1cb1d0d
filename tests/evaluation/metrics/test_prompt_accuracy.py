from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor
from torch.nn import functional as F

from vidiff.data.shapes import COMBINATIONS, Combination, Scenes, render
from vidiff.reconstruction.psnr import MAX_PSNR
from vidiff_eval.metrics import PromptAccuracy
from vidiff_eval.statistics.intervals import wilson
from vidiff_eval.statistics.psnr import psnr

SIZE = (9, 32, 32)
SQUARE = Combination("red", "square", "moves left")
MakeScenes = Callable[..., Scenes]


@pytest.fixture
def square(scenes: MakeScenes) -> Tensor:
    return render(scenes([SQUARE]), *SIZE)


def judge(video: Tensor, prompt: str, **settings: float) -> dict:
    metric = PromptAccuracy(**settings)
    return metric.judge(metric.features.extract(video), [prompt])[0]


def test_a_true_rendering_is_right(square: Tensor) -> None:
    row = judge(square, SQUARE.caption)
    assert row["right"]
    assert row["found"] == SQUARE.caption
    assert row["psnr_db"] > 50


@pytest.mark.parametrize(
    ("prompt", "wrong"),
    [
        ("a green square moves left", "colour_accuracy"),
        ("a red circle moves left", "shape_accuracy"),
        ("a red square moves right", "motion_accuracy"),
        ("a red square stays still", "motion_accuracy"),
    ],
)
def test_each_part_of_the_prompt_counts(square: Tensor, prompt: str, wrong: str) -> None:
    row = judge(square, prompt)
    assert not row["right"]
    parts = {part: row[part] for part in ("colour_accuracy", "shape_accuracy", "motion_accuracy")}
    assert parts == {part: part != wrong for part in parts}


def test_a_wrong_direction_is_wrong(square: Tensor) -> None:
    assert judge(square.flip(2), SQUARE.caption)["found"] == "a red square moves right"
    assert not judge(square.flip(2), SQUARE.caption)["right"]


def test_a_frozen_video_is_wrong(square: Tensor) -> None:
    frozen = square[:, :, :1].expand_as(square)
    assert judge(frozen, SQUARE.caption)["found"] == "a red square stays still"


def test_below_18_db_nothing_is_right(square: Tensor) -> None:
    """The oracle still sees the square, but the video is too far from any true one."""
    generator = torch.Generator().manual_seed(0)
    noisy = square + 0.5 * torch.randn(square.shape, generator=generator)
    row = judge(noisy, SQUARE.caption)
    assert row["found"] == SQUARE.caption
    assert row["psnr_db"] < 18
    assert not row["right"]
    assert judge(noisy, SQUARE.caption, min_psnr=5)["right"]


@pytest.mark.parametrize("combination", COMBINATIONS[::17])
def test_blurred_and_plain_videos_are_not_right(
    scenes: MakeScenes, combination: Combination
) -> None:
    video = render(scenes([combination], background=(0.0, 0.0)), *SIZE)
    blurred = F.avg_pool3d(video, (9, 17, 17), 1, (4, 8, 8), count_include_pad=False)
    plain = video.mean(dim=(2, 3, 4), keepdim=True).expand_as(video)
    black = torch.full_like(video, -1)
    for bad in (blurred, plain, black):
        assert not judge(bad, combination.caption)["right"]


def test_a_black_video_is_not_right_where_shapes_are_small() -> None:
    """A small shape on black is nearer than 18 dB to black alone, whatever the prompt."""
    metric = PromptAccuracy(radius=(2.0, 3.0), background=(0.0, 0.0))
    black = metric.features.extract(torch.full((120, 3, 2, 24, 24), -1.0))
    rows = metric.judge(black, [c.caption for c in COMBINATIONS])
    assert min(row["psnr_db"] for row in rows) > 18
    assert not any(row["right"] for row in rows)


def test_summary_counts(scenes: MakeScenes) -> None:
    metric = PromptAccuracy()
    some = list(COMBINATIONS[:6])
    prompts = [c.caption for c in some[:4]] + ["a cyan cross moves up"] * 2
    rows = metric.judge(metric.features.extract(render(scenes(some), *SIZE)), prompts)
    scores = {score.name: score for score in metric.summarise(metric.tally(rows))}
    assert tuple(scores) == metric.scores
    assert scores["prompt_accuracy"].value == pytest.approx(4 / 6)
    assert scores["prompt_accuracy"].interval == pytest.approx(wilson(4, 6))
    psnr_db = sum(row["psnr_db"] for row in rows) / 6
    assert scores["oracle_psnr_db"].value == pytest.approx(psnr_db)
    with pytest.raises(ValueError, match="no clip"):
        metric.summarise(metric.tally([]))


def test_prompts_outside_the_grammar_are_named() -> None:
    with pytest.raises(ValueError, match=r"prompt 2 of 2: 'a dog runs'"):
        PromptAccuracy().check_prompts([SQUARE.caption, "a dog runs"])


@pytest.mark.parametrize(("right", "total"), [(0, 10), (10, 10), (1, 7), (186, 200), (3, 4)])
def test_wilson_against_scipy(right: int, total: int) -> None:
    expected = binomtest(right, total).proportion_ci(0.95, method="wilson")
    assert wilson(right, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_of_nothing() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


def test_psnr_closed_form() -> None:
    video = torch.zeros(2, 3, 2, 4, 4)
    other = video.clone()
    other[1] += 0.2  # 0.1 of [0, 1]: 20 dB
    assert psnr(video, other).tolist() == pytest.approx([MAX_PSNR, 20.0], abs=1e-4)
    with pytest.raises(ValueError, match="differ"):
        psnr(video, other[:1])
