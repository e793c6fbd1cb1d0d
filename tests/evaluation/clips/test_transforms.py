"""What is done to real clips for the sanity rows."""

import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from vidiff_eval.clips.transforms import BLUR, NOISE, TRANSFORMS, transform


@pytest.fixture
def clip():
    return torch.rand(3, 8, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_same_clip_gives_the_same(clip, name):
    before = clip.clone()
    first, second = transform(name, clip), transform(name, clip)
    assert torch.equal(first, second)
    assert torch.equal(clip, before)
    assert first.shape == clip.shape
    assert first.abs().max() <= 1
    assert not torch.equal(first, clip)


def test_nothing_and_the_unknown(clip):
    assert transform("", clip) is clip
    with pytest.raises(ValueError, match="unknown transform 'torn'; known: shuffled"):
        transform("torn", clip)


@pytest.mark.parametrize("num_frames", [3, 4, 5, 8, 16, 17])
def test_shuffled_has_the_same_frames_in_another_order(num_frames):
    clip = torch.arange(num_frames).float().view(1, -1, 1, 1).expand(3, -1, 2, 2) / num_frames
    order = (transform("shuffled", clip)[0, :, 0, 0] * num_frames).round().long()
    assert sorted(order.tolist()) == list(range(num_frames))
    assert order.tolist() != list(range(num_frames))
    assert (order.diff().abs() == 1).sum() <= max(1, num_frames // 4)


def test_frozen_and_reversed(clip):
    frozen = transform("frozen", clip)
    assert torch.equal(frozen.diff(dim=1), torch.zeros_like(frozen[:, 1:]))
    assert torch.equal(frozen[:, 0], clip[:, 0])
    assert torch.equal(transform("reversed", clip)[:, 0], clip[:, -1])
    assert torch.equal(transform("reversed", transform("reversed", clip)), clip)


def test_blurred_is_torchvisions_away_from_the_borders(clip):
    deviation = max(0.5, BLUR * 32)
    frames = clip.permute(1, 0, 2, 3)
    size = 2 * max(1, round(3 * deviation)) + 1
    expected = gaussian_blur(frames, [size, size], [deviation, deviation]).permute(1, 0, 2, 3)
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(transform("blurred", clip)[inner], expected[inner])
    plain = torch.full((3, 2, 16, 16), 0.3)
    torch.testing.assert_close(transform("blurred", plain), plain)


def test_noise_has_the_deviation_that_is_said_and_is_new_in_each_frame():
    noise = transform("noisy", torch.zeros(3, 4, 64, 64))
    assert noise.std().item() == pytest.approx(NOISE, rel=0.02)
    assert (noise[:, 0] * noise[:, 1]).mean().abs() < 0.1 * NOISE**2
