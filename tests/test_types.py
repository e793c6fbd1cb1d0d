"""Signals as batches: dropped, padded, stacked; and what is known of latents."""

import math

import pytest
import torch

from vidiff.conditions.base import in_rows
from vidiff.types import Known, Signal, SignalDims, stack_signals


def signal(batch=2, length=3, real=(1, 3), frames=None):
    mask = torch.arange(length) < torch.tensor(real)[:, None]
    vector = torch.randn(batch, 4) if frames is None else torch.randn(batch, frames, 4)
    return Signal(
        vector, torch.randn(batch, length, 5), mask, torch.randn(batch, 2, 3, 4, 4), known(batch)
    )


def known(batch=2):
    mask = torch.zeros(batch, 1, 3, 4, 4)
    mask[:, :, 0] = 1
    return Known(torch.randn(batch, 2, 3, 4, 4), mask)


def real_tokens(found, row):
    return found.tokens[row][found.mask[row]]


def test_the_forms_are_those_of_some_width():
    assert SignalDims(vector=3, channels=1).forms == ("vector", "channels")
    assert SignalDims().forms == ()


@pytest.mark.parametrize("frames", [None, 3])
def test_replaced_clips_are_those_of_the_other_signal(frames):
    ours, other = signal(frames=frames), signal(length=5, real=(5, 2), frames=frames)
    found = ours.replaced(other, torch.tensor([True, False]))
    assert found.mask.shape == (2, 5)
    for row, source in ((0, other), (1, ours)):
        assert torch.equal(found.vector[row], source.vector[row])
        assert torch.equal(found.channels[row], source.channels[row])
        assert torch.equal(real_tokens(found, row), real_tokens(source, row))
    back = other.replaced(ours, torch.tensor([False, True]))
    for form in ("vector", "tokens", "mask", "channels"):
        assert torch.equal(getattr(back, form), getattr(found, form))
    # A clip whose condition is dropped gives nothing away.
    assert torch.equal(found.known.mask[1], ours.known.mask[1])
    assert not found.known.mask[0].any()
    assert ours.known.mask.any()  # the signal itself stays as it is


def test_one_unconditional_clip_stands_in_for_all():
    ours, empty = signal(3, real=(1, 3, 2)), signal(1, length=1, real=(1,))
    found = ours.replaced(empty, torch.tensor([True, False, True]))
    for row in (0, 2):
        assert torch.equal(found.vector[row], empty.vector[0])
        assert torch.equal(real_tokens(found, row), real_tokens(empty, 0))
    assert torch.equal(real_tokens(found, 1), real_tokens(ours, 1))


def test_forms_that_there_are_not_stay_away():
    only = Signal(vector=torch.zeros(2, 3))
    found = only.replaced(Signal(vector=torch.ones(2, 3)), torch.tensor([False, True]))
    assert found.vector.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert found.tokens is found.mask is found.channels is found.known is None
    stacked = stack_signals([only, only])
    assert stacked.vector.shape == (4, 3)
    assert stacked.tokens is stacked.mask is stacked.channels is stacked.known is None


def test_stacked_signals_are_padded_and_in_order():
    parts = [signal(1, length=2, real=(2,)), signal(), signal(1, length=5, real=(4,))]
    found = stack_signals(parts)
    assert found.tokens.shape == (4, 5, 5)
    sources = [(parts[0], 0), (parts[1], 0), (parts[1], 1), (parts[2], 0)]
    for row, (source, place) in enumerate(sources):
        for form in ("vector", "channels"):
            assert torch.equal(getattr(found, form)[row], getattr(source, form)[place])
        assert torch.equal(real_tokens(found, row), real_tokens(source, place))
        assert torch.equal(found.known.latents[row], source.known.latents[place])
        assert torch.equal(found.known.mask[row], source.known.mask[place])


def test_rows_of_a_batch_make_it_up_again():
    whole = signal()
    rows = [in_rows(whole, row) for row in range(2)]
    assert [row.tokens.shape[1] for row in rows] == [1, 3]  # no padding is kept
    found = stack_signals(rows)
    assert torch.equal(found.mask, whole.mask)
    assert torch.equal(found.tokens[found.mask], whole.tokens[whole.mask])
    for form in ("vector", "channels"):
        assert torch.equal(getattr(found, form), getattr(whole, form))


def test_map_reaches_every_tensor():
    found, original = signal().map(lambda x: x.double()), signal()
    tensors = (found.vector, found.tokens, found.mask, found.channels)
    assert all(x.dtype == torch.float64 for x in (*tensors, found.known.latents, found.known.mask))
    assert Signal(original.vector).map(torch.neg).known is None


# -- Known ----------------------------------------------------------------------------------------


def partly():
    """Of clip 0 all of frames 0 and 2, of clip 1 frame 1, and of clip 2 half of each frame."""
    mask = torch.zeros(3, 1, 4, 2, 2)
    mask[0, :, [0, 2]] = 1
    mask[1, :, 1] = 1
    mask[2, ..., 0] = 1
    return Known(torch.where(mask > 0, torch.randn(3, 2, 4, 2, 2), math.nan), mask)


def test_frames_are_known_where_all_of_them_is():
    assert partly().frames().int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_known_frames_have_no_time():
    expected = [[0, 0.5, 0, 0.5], [0.25, 0, 0.25, 0.25], [1, 1, 1, 1]]
    assert partly().times(torch.tensor([0.5, 0.25, 1.0])).tolist() == expected
    each = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).repeat(3, 1)
    found = partly().times(each)
    assert torch.equal(found == 0, partly().frames())
    assert torch.equal(found[found > 0], each[~partly().frames()])
    assert (each > 0).all()  # in place of nothing


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_put_replaces_what_is_known_and_keeps_the_rest(dtype):
    known, x = partly(), torch.randn(3, 2, 4, 2, 2, dtype=dtype)
    given, before = known.mask.expand_as(x) > 0, x.clone()
    found = known.put(x)
    assert found.dtype == dtype
    assert torch.equal(found[given], known.latents[given].to(dtype))
    assert torch.equal(found[~given], x[~given])
    assert torch.equal(x, before)
