"""A time, or a vector of a condition, for each frame: through every conditioning and the U-Net."""

from functools import partial

import pytest
import torch
from test_dit import build, names_of

from vidiff.attention import Full
from vidiff.denoisers import UNet
from vidiff.denoisers.base import merge_frames
from vidiff.denoisers.unet_blocks import InTime
from vidiff.patchifiers import Tubelet
from vidiff.types import Signal, SignalDims

SIZE = (3, 4, 4, 6)
DIMS = {"text": SignalDims(vector=8, tokens=8), "motion": SignalDims(vector=4)}
MODULATING = ["adaln", "adaln_single", "adaln_zero", "joint", "unet"]
NETWORKS = [*names_of("conditioning"), "unet"]
WAYS = ["time", "vector"]


class Alone(Full):
    """Each token attends to itself only."""

    def mix(self, q, k, v, layout, mask):
        return v[:, :, -q.shape[2] :]


def awake(model):
    """What starts small or at zero gets a size at which it counts."""
    for parameter in model.parameters():
        if parameter.std() < 0.05:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def network(name, dims, attention=Full, patch_size=(1, 2, 2)):
    torch.manual_seed(0)
    if name == "unet":
        settings = {"width": 8, "multipliers": [1, 2], "depth": 1, "num_heads": 2}
        settings["attention_levels"] = [] if attention is Alone else [1]
        model = awake(UNet(in_channels=3, out_channels=3, signals=dims, **settings))
        if attention is Alone:
            for block in model.modules():
                if isinstance(block, InTime):
                    torch.nn.init.zeros_(block.conv.weight)
        return model
    patchifier = partial(Tubelet, patch_size=patch_size)
    parts = {"attention": attention, "patchifier": patchifier, "signals": dims}
    return awake(build((name, "full", "sincos", "tubelet"), **parts))


def inputs():
    text = Signal(torch.randn(2, 8), torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool))
    motion = Signal(vector=torch.randn(2, SIZE[1], 4))
    t = torch.tensor([[10.0, 900.0, 0.0, 300.0], [500.0, 20.0, 999.0, 0.0]])
    return torch.randn(2, *SIZE), t, {"text": text, "motion": motion}


@pytest.mark.parametrize("patch_size", [(1, 2, 2), (2, 2, 2)])
@pytest.mark.parametrize("name", MODULATING)
def test_frames_at_one_time_are_as_one_time(name, patch_size):
    model = network(name, DIMS, patch_size=patch_size)
    latents, t, signals = inputs()
    one, each = t[:, 0], t[:, :1].expand(-1, 4)
    with torch.no_grad():
        expected = model(latents, one, signals)
        torch.testing.assert_close(model(latents, each, signals), expected, atol=1e-5, rtol=1e-5)
        vector = signals["motion"].vector[:, 0]
        shared = model(latents, one, {**signals, "motion": Signal(vector)})
        repeated = {**signals, "motion": Signal(vector[:, None].expand(-1, 4, -1))}
        torch.testing.assert_close(model(latents, one, repeated), shared, atol=1e-5, rtol=1e-5)


def changes(model, way, frame):
    """By how much each frame of the output moves with the time or the vector of one frame."""
    latents, t, signals = inputs()
    other, moved = t.clone(), signals["motion"].vector.clone()
    if way == "time":
        other[:, frame] += 200
    else:
        moved[:, frame] += 1
    with torch.no_grad():
        before = model(latents, t, signals)
        after = model(latents, other, {**signals, "motion": Signal(vector=moved)})
    return (after - before).abs().amax((0, 1, 3, 4))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODULATING)
def test_it_modulates_the_tokens_of_its_own_frame(name, way):
    """In a network that mixes no frames."""
    found = changes(network(name, {"motion": DIMS["motion"]}, Alone), way, frame=1)
    assert found[1] > 1e-2
    assert found[[0, 2, 3]].max() < 1e-5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", sorted({*MODULATING} - {"unet"}))
def test_in_a_patch_that_spans_frames_it_modulates_them_all(name, way):
    model = network(name, {"motion": DIMS["motion"]}, Alone, patch_size=(2, 2, 2))
    found = changes(model, way, frame=2)
    assert found[2:].min() > 1e-2
    assert found[:2].max() == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("patch_size", [(1, 2, 2), (2, 2, 2), (4, 2, 2)])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_frame_hears_of_every_frame(name, patch_size, way):
    model = network(name, DIMS, patch_size=patch_size)
    for frame in range(4):
        assert changes(model, way, frame).min() > 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_it_matters_which_frame_has_which(name):
    model = network(name, DIMS)
    latents, t, signals = inputs()
    with torch.no_grad():
        output = model(latents, t, signals)
        assert not torch.allclose(model(latents, t.flip(1), signals), output, atol=1e-4)
        flipped = {**signals, "motion": Signal(vector=signals["motion"].vector.flip(1))}
        assert not torch.allclose(model(latents, t, flipped), output, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns_from_times_of_frames(name):
    model = network(name, DIMS)
    model(*inputs()).square().mean().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def test_frames_are_merged_by_their_mean():
    vectors = torch.randn(2, 6, 5)
    torch.testing.assert_close(merge_frames(vectors, 3), (vectors[:, 0::2] + vectors[:, 1::2]) / 2)
    torch.testing.assert_close(merge_frames(vectors, 1), vectors.mean(1, keepdim=True))
    assert merge_frames(vectors, 6) is vectors
    assert merge_frames(vectors[:, :1], 3).shape == (2, 1, 5)
