from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vidiff.data import MovingShapes
from vidiff.data.moving_shapes import split_combinations
from vidiff.data.shapes import (
    COLOURS,
    COMBINATIONS,
    MOTIONS,
    SHAPES,
    Combination,
    Scenes,
    coverage,
    parse_caption,
    render,
)


def pixels_of(samples):
    return torch.stack([sample.pixels for sample in samples])


def test_index_and_seed_decide_the_clip_whatever_the_batch():
    dataset = MovingShapes(split="train", num_videos=100)
    batch = dataset.__getitems__([3, 50, 3, 99])
    for sample, index in zip(batch, [3, 50, 3, 99], strict=True):
        alone = MovingShapes(split="train", num_videos=100)[index]
        assert torch.equal(sample.pixels, alone.pixels)
        assert (sample.caption, sample.id) == (alone.caption, alone.id)
    # The number of clips in an epoch changes none of them; the seed and the split change all.
    assert torch.equal(MovingShapes(split="train", num_videos=7)[3].pixels, batch[0].pixels)
    assert not torch.equal(MovingShapes(split="train", seed=1)[3].pixels, batch[0].pixels)
    assert not torch.equal(MovingShapes(split="val")[3].pixels, batch[0].pixels)


def test_samples_are_what_the_types_say():
    dataset = MovingShapes(split="val", num_frames=5, height=24, width=40, radius=(4.0, 6.0))
    samples = list(dataset)
    assert len(samples) == len(dataset) == 256
    assert len({sample.id for sample in samples}) == 256
    pixels = pixels_of(samples)
    assert pixels.shape == (256, 3, 5, 24, 40)
    assert pixels.dtype == torch.float32
    assert pixels.min() >= -1
    assert pixels.max() <= 1


def test_captions_name_the_scene():
    dataset = MovingShapes(split="train")
    indices = list(range(300))
    scenes = dataset.scenes(indices)
    for k, sample in enumerate(dataset.__getitems__(indices)):
        named = parse_caption(sample.caption)
        assert named == Combination(
            list(COLOURS)[scenes.colour[k]],
            SHAPES[scenes.shape[k]],
            list(MOTIONS)[scenes.motion[k]],
        )


def test_every_caption_parses_back():
    assert len(COMBINATIONS) == len({c.caption for c in COMBINATIONS}) == 6 * 4 * 5
    for combination in COMBINATIONS:
        assert parse_caption(combination.caption) == combination
        assert parse_caption(f" {combination.caption.upper()}. ") == combination
    for wrong in ("", "a red square", "a pink square moves left", "red square moves left"):
        with pytest.raises(ValueError, match="colours are red, green"):
            parse_caption(wrong)


@pytest.mark.parametrize("held_out", [0, 1, 24, 60])
def test_held_out_combinations_are_never_trained_on(held_out):
    seen, unseen = split_combinations(held_out)
    assert len(unseen) == held_out
    assert set(seen) | set(unseen) == set(COMBINATIONS)
    assert not set(seen) & set(unseen)
    for part in ("colour", "shape", "motion"):
        assert {getattr(c, part) for c in seen} == {getattr(c, part) for c in COMBINATIONS}


def test_splits_draw_all_of_their_combinations_and_no_other():
    seen, unseen = split_combinations(24)
    for split, expected in (("train", seen), ("val", seen), ("test", unseen)):
        dataset = MovingShapes(split=split, num_videos=1500, num_val_videos=1500)
        drawn = {dataset._draw(index)[0] for index in range(1500)}
        assert drawn == set(expected), split
        other = MovingShapes(split=split, num_videos=1500, num_val_videos=1500, seed=5)
        assert {other._draw(index)[0] for index in range(1500)} == set(expected)


@pytest.mark.parametrize("size", [(32, 32), (40, 26)])
def test_shapes_stay_within_the_frame(size):
    height, width = size
    dataset = MovingShapes(
        split="train", height=height, width=width, radius=(3.0, 6.0), speed=(0.5, 1.7)
    )
    scenes = dataset.scenes(range(500))
    direction = torch.tensor(list(MOTIONS.values()))[scenes.motion]
    for frame in (0, 8):
        x = scenes.x + direction[:, 0] * scenes.speed * frame
        y = scenes.y + direction[:, 1] * scenes.speed * frame
        for centre, extent in ((x, width), (y, height)):
            assert (centre - scenes.radius >= -1e-4).all()
            assert (centre + scenes.radius <= extent + 1e-4).all()
    for values, low, high in (
        (scenes.radius, 3.0, 6.0),
        (scenes.speed, 0.5, 1.7),
        (scenes.background, 0.0, 0.3),
    ):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high


def inside_by_hand(shape: str, x: float, y: float, r: float) -> float:
    """Signed distance, written out apart from the code under test."""
    if shape == "circle":
        return math.hypot(x, y) - r
    if shape == "square":
        return max(abs(x), abs(y)) - 0.85 * r
    if shape == "triangle":
        # Half-planes through the apex (0, -r) and the corners (+-0.9 r, 0.8 r).
        slopes = []
        for side in (-1, 1):
            normal = np.array([2.0 * side, -1.0]) / math.sqrt(5)
            slopes.append(float(normal @ np.array([x, y + r])))
        return max(*slopes, y - 0.8 * r)
    upright = max(abs(x) - 0.3 * r, abs(y) - r)
    lying = max(abs(x) - r, abs(y) - 0.3 * r)
    return min(upright, lying)


@pytest.mark.parametrize("shape", SHAPES)
def test_rendering_against_a_slow_reference(shape):
    height, width, num_frames = 12, 14, 3
    scenes = Scenes(
        colour=torch.tensor([3, 0]),
        shape=torch.tensor([SHAPES.index(shape)] * 2),
        motion=torch.tensor([0, 3]),
        radius=torch.tensor([3.3, 2.5]),
        speed=torch.tensor([1.25, 0.75]),
        x=torch.tensor([9.1, 5.0]),
        y=torch.tensor([6.2, 4.4]),
        background=torch.tensor([0.2, 0.0]),
    )
    expected = np.zeros((2, 3, num_frames, height, width))
    for b, (colour, step) in enumerate([((1.0, 0.9, 0.1), (-1, 0)), ((1.0, 0.15, 0.15), (0, 1))]):
        for f in range(num_frames):
            x = float(scenes.x[b]) + step[0] * float(scenes.speed[b]) * f
            y = float(scenes.y[b]) + step[1] * float(scenes.speed[b]) * f
            for row in range(height):
                for column in range(width):
                    distance = inside_by_hand(
                        shape, column + 0.5 - x, row + 0.5 - y, float(scenes.radius[b])
                    )
                    share = min(1.0, max(0.0, 0.5 - distance))
                    for c in range(3):
                        ground = float(scenes.background[b])
                        level = ground + share * (colour[c] - ground)
                        expected[b, c, f, row, column] = 2 * level - 1
    drawn = render(scenes, num_frames, height, width).numpy()
    np.testing.assert_allclose(drawn, expected, atol=2e-5)


def test_shapes_are_told_apart():
    scenes = MovingShapes(split="train").scenes(range(4))
    scenes.shape = torch.arange(4)
    scenes.radius[:], scenes.x[:], scenes.y[:], scenes.motion[:] = 7.0, 16.0, 16.0, 4
    masks = coverage(scenes, 1, 32, 32)
    for one in range(4):
        for other in range(one):
            assert (masks[one] - masks[other]).abs().sum() > 20


def test_scenes_can_be_sliced():
    scenes = MovingShapes(split="train").scenes(range(10))
    part = scenes[torch.tensor([2, 7])]
    assert len(part) == 2
    whole = render(scenes, 9, 32, 32)
    assert torch.equal(render(part, 9, 32, 32), whole[[2, 7]])
    assert torch.equal(render(scenes[3:5], 9, 32, 32), whole[3:5])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": (6.0, 5.0)}, "radius must be 0 <= smallest <= largest"),
        ({"speed": (-1.0, 1.0)}, "speed must be 0 <= smallest <= largest"),
        ({"background": (0.0, 1.5)}, r"grey level in \[0, 1\]"),
        ({"num_frames": 40}, "lower radius, speed or num_frames"),
        ({"held_out": 119}, "leaves no colour"),
        ({"held_out": -1}, "held_out must not be negative, got -1"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        MovingShapes(split="train", **settings)


def test_an_index_beyond_the_epoch_is_an_error():
    dataset = MovingShapes(split="train", num_videos=5)
    for index in (-1, 5):
        with pytest.raises(IndexError, match="of 5"):
            dataset[index]


SIZES = [(5, 32, 32), (9, 32, 48), (3, 24, 24)]


def test_an_index_names_the_clip_and_its_size():
    dataset = MovingShapes(split="train", sizes=SIZES, radius=(4.0, 5.0))
    samples = dataset.__getitems__([6, 7, 8, 9])
    assert [tuple(s.pixels.shape[1:]) for s in samples] == [SIZES[i] for i in (0, 1, 2, 0)]
    assert len({s.caption for s in samples[:3]}) == 1, "one clip in three sizes"
    assert len({s.id for s in samples}) == 4
    for sample, index in zip(samples, [6, 7, 8, 9], strict=True):
        assert torch.equal(sample.pixels, dataset[index].pixels)
    alone = MovingShapes(split="train", num_frames=9, height=32, width=48, radius=(4.0, 5.0))
    assert torch.equal(samples[1].pixels, alone[2].pixels), "as if it were the only size"
    assert {tuple(s.pixels.shape[1:]) for s in MovingShapes(split="val", sizes=SIZES)} == {*SIZES}


def test_every_size_must_hold_the_scene():
    with pytest.raises(ValueError, match="needs 26 pixels for 9 frames, more than the 24"):
        MovingShapes(split="train", sizes=[(3, 32, 32), (9, 24, 32)], radius=(4.0, 5.0))
    with pytest.raises(ValueError, match="sizes must hold at least one"):
        MovingShapes(split="train", sizes=[])


@pytest.mark.parametrize("split", ["train", "test"])
def test_phrasings_say_the_same_of_the_same_clips(split):
    plain = MovingShapes(split=split)
    indices = list(range(200))
    expected = plain.__getitems__(indices)
    captions = {}
    for phrasing in ("several", "paraphrases"):
        found = MovingShapes(split=split, phrasing=phrasing).__getitems__(indices)
        assert torch.equal(pixels_of(found), pixels_of(expected))
        for one, two in zip(found, expected, strict=True):
            assert parse_caption(one.caption) == parse_caption(two.caption)
        captions[phrasing] = {sample.caption for sample in found}
        assert len(captions[phrasing]) > len({sample.caption for sample in expected})
    assert not captions["several"] & captions["paraphrases"]
