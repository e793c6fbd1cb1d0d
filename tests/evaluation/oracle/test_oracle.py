from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vidiff.data import MovingShapes
from vidiff.data.shapes import COLOURS, COMBINATIONS, MOTIONS, SHAPES, Combination, Scenes, render
from vidiff.reconstruction.psnr import from_mse
from vidiff_eval.oracle.ranges import Ranges
from vidiff_eval.oracle.search import find_scenes
from vidiff_eval.statistics.psnr import psnr

SIZE = (9, 32, 32)
RANGES = Ranges(radius=(5.0, 8.0), speed=(1.0, 2.0), background=(0.0, 0.3))
MakeScenes = Callable[..., Scenes]


def combinations(scenes: Scenes) -> list[Combination]:
    return [
        Combination(list(COLOURS)[c], SHAPES[s], list(MOTIONS)[m])
        for c, s, m in zip(scenes.colour, scenes.shape, scenes.motion, strict=True)
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_exact_renderings_of_every_combination_are_found(scenes: MakeScenes, seed: int) -> None:
    true = scenes(COMBINATIONS, seed=seed)
    found = find_scenes(render(true, *SIZE), RANGES)
    assert combinations(found.scenes) == list(COMBINATIONS)
    assert found.psnr.min() > 50
    for name in ("radius", "x", "y", "background"):
        torch.testing.assert_close(
            getattr(found.scenes, name), getattr(true, name), atol=0.02, rtol=0
        )
    moves = true.motion != list(MOTIONS).index("stays still")
    torch.testing.assert_close(found.scenes.speed[moves], true.speed[moves], atol=0.01, rtol=0)


def test_narrow_ranges_as_a_demo_has_them(scenes: MakeScenes) -> None:
    narrow = {"radius": (6.0, 7.0), "speed": (1.75, 1.75), "background": (0.0, 0.0)}
    found = find_scenes(render(scenes(**narrow), *SIZE), Ranges(**narrow))
    assert combinations(found.scenes) == list(COMBINATIONS)
    assert found.psnr.min() > 50
    assert (found.scenes.speed == 1.75).all()
    assert (found.scenes.background == 0).all()


def test_other_sizes(scenes: MakeScenes) -> None:
    size = (5, 24, 40)
    ranges = {"radius": (3.0, 5.0), "speed": (1.0, 3.0), "background": (0.1, 0.6)}
    some = COMBINATIONS[::3]
    found = find_scenes(render(scenes(some, size=size, **ranges), *size), Ranges(**ranges))
    assert combinations(found.scenes) == list(some)
    assert found.psnr.min() > 50


def test_subpixel_positions(scenes: MakeScenes) -> None:
    corners = list(itertools.product((0.0, 0.25, 0.5, 0.75), repeat=2))
    one = scenes([Combination("yellow", "triangle", "stays still")])
    many = Scenes(*(value.repeat(len(corners)) for value in vars(one).values()))
    many.x = 15 + torch.tensor([x for x, _ in corners])
    many.y = 16 + torch.tensor([y for _, y in corners])
    found = find_scenes(render(many, *SIZE), RANGES)
    assert found.psnr.min() > 50
    torch.testing.assert_close(found.scenes.x, many.x, atol=0.01, rtol=0)
    torch.testing.assert_close(found.scenes.y, many.y, atol=0.01, rtol=0)


def test_noise_is_looked_through_and_lowers_psnr(scenes: MakeScenes) -> None:
    clean = render(scenes(), *SIZE)
    generator = torch.Generator().manual_seed(0)
    # In [0, 1] noise of deviation 0.1 is 20 dB; the fit takes up a little of it, as do the ends.
    noisy = clean + 0.2 * torch.randn(clean.shape, generator=generator)
    found = find_scenes(noisy, RANGES)
    assert combinations(found.scenes) == list(COMBINATIONS)
    assert (found.psnr >= psnr(noisy.clamp(-1, 1), clean) - 0.1).all()
    assert found.psnr.max() < 25


def test_scenes_stay_within_the_ranges(scenes: MakeScenes) -> None:
    """Videos of other worlds are matched by the nearest scene of this one."""
    outside = scenes(radius=(3.0, 4.0), background=(0.5, 0.7))
    found = find_scenes(render(outside, *SIZE), RANGES).scenes
    for name in ("radius", "speed", "background"):
        low, high = getattr(RANGES, name)
        assert (getattr(found, name) >= low - 1e-5).all()
        assert (getattr(found, name) <= high + 1e-5).all()
    for centre, axis in ((found.x, 0), (found.y, 1)):
        path = torch.tensor([d[axis] for d in MOTIONS.values()])[found.motion] * found.speed * 8
        for position in (centre, centre + path):
            assert (position >= found.radius - 1e-3).all()
            assert (position <= 32 - found.radius + 1e-3).all()


def test_still_and_moving_are_told_apart_at_the_slowest_speed(scenes: MakeScenes) -> None:
    motions = [Combination("red", "circle", motion) for motion in MOTIONS]
    found = find_scenes(render(scenes(motions, speed=(1.0, 1.0)), *SIZE), RANGES)
    assert combinations(found.scenes) == motions


def test_time_reversed_video_moves_the_other_way(scenes: MakeScenes) -> None:
    left = render(scenes([Combination("blue", "cross", "moves left")]), *SIZE)
    found = find_scenes(left.flip(2), RANGES)
    assert combinations(found.scenes) == [Combination("blue", "cross", "moves right")]


def test_against_brute_force(scenes: MakeScenes) -> None:
    """No scene of a half-pixel grid over all of them is nearer than what the search finds."""
    size = (2, 16, 16)
    ranges = {"radius": (4.0, 5.0), "speed": (1.0, 1.0), "background": (0.0, 0.2)}
    clean = render(scenes(COMBINATIONS[::7], size=size, **ranges), *size)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    mixed = (clean + clean.roll(1, dims=0)) / 2  # two shapes at once
    blurred = F.avg_pool3d(clean, (1, 5, 5), 1, (0, 2, 2))
    videos = torch.cat([clean + 0.3 * noise, mixed, blurred]).clamp(-1, 1)
    found = find_scenes(videos, Ranges(**ranges)).psnr
    best = _best_psnr(videos, Ranges(**ranges))
    assert (found[: len(clean)] >= best[: len(clean)]).all()
    # Where two scenes are about as near, the search may end at the second: rarely, and close.
    assert (found >= best - 0.6).all()
    assert (found >= best).float().mean() > 0.85


def _best_psnr(videos: Tensor, ranges: Ranges) -> Tensor:
    """By trying every combination at half-pixel positions and the ends of the ranges."""
    size = videos.shape[2:]
    least = torch.full((len(videos),), float("inf"))
    for radius, background in itertools.product(ranges.radius, ranges.background):
        rows = []
        for motion, direction in enumerate(MOTIONS.values()):
            spans = []
            for step, extent in zip(direction, (size[2], size[1]), strict=True):
                path = step * ranges.speed[0] * (size[0] - 1)
                low, high = radius + max(0, -path), extent - radius - max(0, path)
                spans.append(torch.arange(low, high + 1e-6, 0.5).tolist())
            rows += [
                (colour, shape, motion, radius, ranges.speed[0], x, y, background)
                for x, y, shape, colour in itertools.product(
                    *spans, range(len(SHAPES)), range(len(COLOURS))
                )
            ]
        some = Scenes(*(torch.tensor(column) for column in zip(*rows, strict=True)))
        distances = torch.cdist(videos.flatten(1), render(some, *size).flatten(1))
        least = torch.minimum(least, distances.min(1).values)
    return from_mse(least.square() / 4 / videos[0].numel())


@pytest.mark.parametrize(
    "video",
    [torch.full((1, 3, *SIZE), -1.0), torch.zeros(1, 3, *SIZE), torch.full((1, 3, *SIZE), -0.7)],
    ids=["black", "grey", "dark grey"],
)
def test_a_plain_video_is_nearest_to_a_blank(video: Tensor) -> None:
    found = find_scenes(video, RANGES)
    assert found.blank_psnr > found.psnr


def test_not_a_number_is_no_scene() -> None:
    found = find_scenes(torch.full((1, 3, *SIZE), float("nan")), RANGES)
    assert found.psnr.isfinite().all()


def test_batches_do_not_matter(scenes: MakeScenes) -> None:
    videos = render(scenes(COMBINATIONS[:11]), *SIZE)
    together = find_scenes(videos, RANGES)
    for index in (0, 10):
        alone = find_scenes(videos[index : index + 1], RANGES)
        assert combinations(alone.scenes)[0] == combinations(together.scenes)[index]
        assert float(alone.psnr) > 50


def test_defaults_are_those_of_the_dataset() -> None:
    from vidiff_eval.metrics import PromptAccuracy

    dataset = MovingShapes(split="val")
    for name in ("radius", "speed", "background"):
        assert getattr(PromptAccuracy().features.ranges, name) == getattr(dataset, name)
    found = find_scenes(torch.stack([dataset[k].pixels for k in range(8)]), RANGES)
    assert [c.caption for c in combinations(found.scenes)] == [dataset[k].caption for k in range(8)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": (8.0, 5.0)}, "radius must be"),
        ({"speed": (0.0, 2.0)}, "speed must be 0.01"),
        ({"background": (0.0, 1.5)}, "background is in"),
    ],
)
def test_impossible_ranges_are_refused(change: dict[str, tuple], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RANGES, **change)


def test_videos_that_cannot_hold_the_scenes_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 32 pixels for 9 frames"):
        find_scenes(torch.zeros(1, 3, 9, 16, 16), RANGES)
    with pytest.raises(ValueError, match="one frame"):
        find_scenes(torch.zeros(1, 3, 1, 32, 32), RANGES)
    with pytest.raises(ValueError, match="must be"):
        find_scenes(torch.zeros(3, 9, 32, 32), RANGES)
