"""The condition ``frames``: which latent frames are given, how often, and what is told of them."""

from itertools import pairwise

import pytest
import torch

from vidiff.autoencoders import Identity
from vidiff.conditions import Frames
from vidiff.types import Known

LATENTS = torch.randn(4, 3, 5, 2, 2)
NONE = {"first": 0.0, "past": 0.0, "both_ends": 0.0}


def make(**shares):
    return Frames(autoencoder=Identity(latent_channels=3), **{**NONE, **shares})


def inputs(latents=LATENTS, **others):
    """As a model hands them in while training."""
    return {"latents": latents, "latent_shape": tuple(latents.shape[1:]), **others}


def masks(condition, count=4000, frames=5):
    """Which frames are given, (count, frames), over many draws."""
    torch.manual_seed(0)
    signal = condition(inputs(torch.zeros(count, 3, frames, 1, 1)))
    assert torch.equal(signal.known.mask, signal.channels[:, 3:])
    return signal.known.mask[:, 0, :, 0, 0].bool()


def rows(found):
    return {tuple(row) for row in found.int().tolist()}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    {
        "first": {(1, 0, 0, 0, 0)},
        "past": {(1, 0, 0, 0, 0), (1, 1, 0, 0, 0), (1, 1, 1, 0, 0), (1, 1, 1, 1, 0)},
        "future": {(0, 0, 0, 0, 1), (0, 0, 0, 1, 1), (0, 0, 1, 1, 1), (0, 1, 1, 1, 1)},
        "both_ends": {(1, 0, 0, 0, 1)},
    }.items(),
)
def test_each_strategy_gives_the_frames_that_it_names(strategy, expected):
    found = masks(make(**{strategy: 1.0}))
    assert rows(found) == expected
    shares = torch.bincount(found.sum(1))
    shares = shares[shares > 0] / len(found)
    assert shares.sub(1 / len(expected)).abs().max() < 0.04  # as often each


def test_random_gives_each_frame_half_of_the_time():
    found = masks(make(random=1.0))
    assert len(rows(found)) == 2**5 - 1  # all but all of them
    assert found.float().mean(0).sub(15 / 31 * 31 / 32).abs().max() < 0.04
    assert (torch.corrcoef(found.float().T) - torch.eye(5)).abs().max() < 0.09


def test_strategies_have_their_shares():
    found = masks(make(first=0.3, future=0.2, both_ends=0.1), count=20_000)
    first, last, several = found[:, 0], found[:, -1], found.sum(1) > 1
    shares = {
        "first": first & ~several, "both ends": first & last, "future": last & ~first,
        "none": ~found.any(1),
    }  # fmt: skip
    expected = {"first": 0.3, "both ends": 0.1, "future": 0.2, "none": 0.4}
    assert {name: x.float().mean().item() for name, x in shares.items()} == pytest.approx(
        expected, abs=0.015
    )


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_never_is_a_whole_clip_given(frames):
    for strategy in ("first", "past", "future", "both_ends", "random"):
        found = masks(make(**{strategy: 1.0}), frames=frames)
        assert not found.all(1).any()
        if frames > 2:
            assert found.any()


def test_the_network_is_told_the_given_latents_and_which_they_are():
    condition = make(past=1.0)
    signal = condition(inputs())
    mask = signal.known.mask
    assert signal.vector is signal.tokens is signal.mask is None
    assert condition.dims.forms == ("channels",)
    assert condition.dims.channels == signal.channels.shape[1] == 4
    assert torch.equal(signal.channels[:, :3], LATENTS * mask)
    assert torch.equal(signal.channels[:, 3:], mask)
    assert torch.equal(signal.known.latents, LATENTS)


def test_known_latents_of_the_call_go_before_any_draw():
    mask = torch.zeros(4, 1, 5, 2, 2)
    mask[:, :, 2], mask[0, ..., :1] = 1, 1
    known = Known(LATENTS, mask)
    for condition in (make(first=1.0), make(first=1.0).eval()):
        for given in (inputs(known=known), {"known": known, "latent_shape": (3, 5, 2, 2)}):
            signal = condition(given)
            assert torch.equal(signal.known.mask, mask)
            assert torch.equal(signal.channels, torch.cat([LATENTS * mask, mask], 1))


def test_in_evaluation_a_clip_has_frames_of_its_own_and_in_training_new_ones():
    condition, ids = make(first=0.4, past=0.3, random=0.3), [f"clip {i}" for i in range(200)]
    clips = torch.zeros(200, 3, 5, 1, 1)

    def drawn(ids, seed):
        torch.manual_seed(seed)
        return condition(inputs(clips[: len(ids)], id=ids)).known.mask[:, 0, :, 0, 0]

    assert not torch.equal(drawn(ids, 0), drawn(ids, 1))
    condition.eval()
    found = drawn(ids, 0)
    assert torch.equal(found, drawn(ids, 1))
    assert torch.equal(found.flip(0), drawn(ids[::-1], 2))  # whatever the batch
    assert torch.equal(found[7:8], drawn(ids[7:8], 3))
    assert len(rows(found)) > 10
    shares = (found[:, 0] > 0).float().mean()
    assert shares == pytest.approx(0.4 + 0.3 + 0.15, abs=0.08)
    condition.train()
    assert not torch.equal(drawn(["one"] * 200, 0)[:-1], drawn(["one"] * 200, 0)[1:])


@pytest.mark.parametrize(
    "given",
    [
        {"caption": ["a", "b"]},
        {"caption": ["a", "b"], "known": None},
        {"label": torch.tensor([1, 2])},
    ],
    ids=str,
)
def test_without_frames_it_is_unconditional(given):
    condition, given = make(first=1.0).eval(), {**given, "latent_shape": (3, 5, 2, 2)}
    asked, empty = condition(given), condition.empty(given)
    assert empty.known is None
    assert not asked.known.mask.any()
    # Frames have times of their own, as where training gives none of a clip's.
    times = asked.known.times(torch.full((2,), 0.5))
    assert torch.equal(times, torch.full((2, 5), 0.5))
    for signal in (asked, empty):
        assert signal.channels.shape == (2, 4, 5, 2, 2)
        assert not signal.channels.any()


@pytest.mark.parametrize("of", ["latents", "known"])
def test_a_dropped_clip_gives_nothing_away(of):
    condition, mask = make(first=1.0), torch.zeros(4, 1, 5, 2, 2)
    mask[:, :, 0] = 1
    given = {"latent_shape": (3, 5, 2, 2)}
    given |= {"latents": LATENTS} if of == "latents" else {"known": Known(LATENTS, mask)}
    drop = torch.tensor([True, False, True, False])
    signal = condition(given, drop)
    assert not signal.channels[drop].any()
    assert not signal.known.mask[drop].any()
    assert torch.equal(signal.channels[~drop], torch.cat([LATENTS * mask, mask], 1)[~drop])
    everything = condition(given, torch.ones(4, dtype=torch.bool))
    assert everything.known is None
    assert not everything.channels.any()
    assert everything.channels.shape == (4, 4, 5, 2, 2)


@pytest.mark.parametrize("shares", [{"first": -0.1}, {"first": 0.7, "past": 0.4}])
def test_shares_that_are_no_probabilities_are_refused(shares):
    with pytest.raises(ValueError, match="probabilities that add up to at most 1, got"):
        make(**shares)


def test_shares_may_add_up_to_one():
    shares = {"first": 0.1, "past": 0.2, "future": 0.3, "both_ends": 0.3, "random": 0.1}
    ends = make(**shares).ends
    assert all(a < b for a, b in pairwise(ends))
    assert masks(make(**shares), count=20_000).any(1).float().mean() > 0.99
