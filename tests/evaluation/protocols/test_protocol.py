"""Protocols: fingerprints that stay, and presets that do to pixels what the tools do."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from vidiff_eval.features.i3d import I3D
from vidiff_eval.networks.resizing import prepare, stretch_corners, whole_levels
from vidiff_eval.protocols.presets import PRESETS, VIDIFF, get_protocol
from vidiff_eval.protocols.protocol import Protocol

FINGERPRINTS = {
    "vidiff": "1ec787f062f9353e",
    "whole": "15896a4f65e44e0d",
    "stylegan_v": "b15f7fc9b5a816c5",
    "google": "a95530f73b8de249",
    "common_metrics": "d52d2cc177b8f56f",
    "videogpt": "bfcf774e37d7c853",
    "latte": "2f81141772883d6b",
}
"""A change of one makes old results incomparable: it needs a reason."""


def test_fingerprints_of_presets_stay():
    assert {name: protocol.fingerprint for name, protocol in PRESETS.items()} == FINGERPRINTS
    assert all(name == protocol.name for name, protocol in PRESETS.items())


def test_a_fingerprint_is_that_of_all_values_but_the_name():
    assert replace(VIDIFF, name="mine").fingerprint == VIDIFF.fingerprint
    others = {
        "num_frames": 9, "stride": 2, "generated_stride": 2, "fps": 8.0, "size": (64, 64),
        "real_clip": "start", "generated_clip": "middle", "clips_per_video": 2, "num_clips": 5,
        "seed": 1, "resize": "crop", "to_uint8": True, "batch_norm_eps": 1e-5, "covariance": "n",
        "split": "test",
    }  # fmt: skip
    assert set(others) == set(VIDIFF.record)
    found = {VIDIFF.change(**{name: value}).fingerprint for name, value in others.items()}
    assert len(found | {VIDIFF.fingerprint}) == len(others) + 1


def test_a_changed_protocol_says_so():
    changed = VIDIFF.change(num_frames=9, stride=1)
    assert changed.name == "vidiff, num_frames 9"
    assert changed.num_frames == 9
    with pytest.raises(ValueError, match="no 'num_frame', did you mean 'num_frames'"):
        VIDIFF.change(num_frame=9)


def test_an_unknown_preset_names_the_nearest():
    assert get_protocol("latte") is PRESETS["latte"]
    with pytest.raises(ValueError, match=r"'stylegan-v', did you mean 'stylegan_v'\?; known: vid"):
        get_protocol("stylegan-v")


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="generated_stride must be at least 1, got 0"):
        Protocol(generated_stride=0)
    with pytest.raises(ValueError, match="fps must be positive, got 0"):
        Protocol(fps=0)
    with pytest.raises(ValueError, match="set num_frames or clips_per_video 1"):
        Protocol(num_frames=None, clips_per_video=2)


def test_sides_may_skip_different_numbers_of_frames():
    """Latte compares every third real frame with every generated one."""
    latte = PRESETS["latte"]
    assert (latte.stride_of("real"), latte.stride_of("generated")) == (3, 1)
    other = VIDIFF.change(stride=2)
    assert (other.stride_of("real"), other.stride_of("generated")) == (2, 2)


# What the tools do, in numpy, place by place, from frames (f, h, w, 3) of bytes to [-1, 1].


def bilinear(frames, size, offset):
    """To (height, width), source = (i + offset) * extent / size - offset, kept inside."""
    for axis, places in ((1, size[0]), (2, size[1])):
        extent = frames.shape[axis]
        source = np.clip((np.arange(places) + offset) * extent / places - offset, 0, None)
        low = np.floor(source).astype(int)
        high = np.minimum(low + 1, extent - 1)
        weight = (source - low).reshape([-1 if a == axis else 1 for a in range(4)])
        frames = frames.take(low, axis) * (1 - weight) + frames.take(high, axis) * weight
    return frames


def google(frames):
    """Resizes in 0..255 between corners, then scales (frechet_video_distance.py, preprocess)."""
    return 2 * bilinear(frames.astype(float), (224, 224), 0) / 255 - 1


def stylegan_v(frames):
    """Resizes in 0..255 between centres, then scales; inside the TorchScript file."""
    return 2 * bilinear(frames.astype(float), (224, 224), 0.5) / 255 - 1


def common_metrics(frames):
    """Short side to 224, the middle, then from [0, 1] to [-1, 1] (preprocess_single)."""
    height, width = frames.shape[1:3]
    scale = 224 / min(height, width)
    wide = height < width
    size = (224, math.ceil(width * scale)) if wide else (math.ceil(height * scale), 224)
    resized = bilinear(frames / 255, size, 0.5)
    top, left = (size[0] - 224) // 2, (size[1] - 224) // 2
    return (resized[:, top : top + 224, left : left + 224] - 0.5) * 2


def videogpt(frames):
    """Takes [0, 1], cuts to bytes, and goes on as the other."""
    return common_metrics((frames / np.float32(255) * 255).astype(np.uint8))


TOOLS = {
    "vidiff": stylegan_v,
    "whole": stylegan_v,
    "stylegan_v": stylegan_v,
    "google": google,
    "common_metrics": common_metrics,
    "videogpt": videogpt,
    "latte": stylegan_v,
}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [(64, 64), (45, 80), (80, 45), (300, 260), (224, 224), (247, 247)])
def test_presets_do_to_frames_what_the_tools_do(name, size):
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    clip = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float().div(127.5).sub(1)
    features = I3D(weights="not read")
    features.follow(PRESETS[name])
    seen = features._prepare(clip)[0].permute(1, 2, 3, 0).numpy()
    assert seen.shape == (2, 224, 224, 3)
    np.testing.assert_allclose(seen, TOOLS[name](frames), atol=1e-4)  # places are in float32


def test_corners_are_tensorflows():
    """resize_bilinear_op_test.cc of TensorFlow: 2 x 2 to 3 x 3."""
    frame = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    expected = torch.tensor([[1, 5 / 3, 2], [7 / 3, 3, 10 / 3], [3, 11 / 3, 4]])
    torch.testing.assert_close(stretch_corners(frame, 3)[0, 0], expected)


def test_ways_of_resizing_differ_where_it_matters():
    clip = torch.rand(1, 3, 1, 45, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen = [prepare(clip, 224, way) for way in ("stretch", "stretch_corners", "crop")]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (seen[one] - seen[other]).abs().mean() > 0.05


def test_whole_levels_stay_and_others_are_cut():
    levels = torch.arange(256.0)
    pixels = levels / 127.5 - 1
    torch.testing.assert_close(whole_levels(pixels), pixels, atol=1e-6, rtol=0)
    between = (levels[:-1] + 0.9) / 127.5 - 1
    torch.testing.assert_close(whole_levels(between), pixels[:-1], atol=1e-6, rtol=0)
    assert whole_levels(torch.tensor([-1.2, 1.2])).tolist() == [-1, 1]
