"""Layers start as they say, and nothing starts them again when a network is built."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from vidiff import layers
from vidiff.attention import Full
from vidiff.conditioning import AdaLNZero
from vidiff.conditioning.adaln_zero import AdaLNZeroBlock
from vidiff.denoisers import DiT
from vidiff.registry import get_component, get_kind
from vidiff.types import SignalDims

SMALL = {"in_channels": 3, "out_channels": 3, "width": 32, "depth": 2, "num_heads": 2}
TEXT = {"text": SignalDims(vector=8, tokens=8)}


def test_linear_starts_with_the_weights_of_xavier():
    torch.manual_seed(0)
    layer = layers.Linear(100, 300)
    bound = math.sqrt(6 / (100 + 300))
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not layer.bias.any()
    assert layers.Linear(4, 4, bias=False).bias is None


@pytest.mark.parametrize("cls", [layers.ZeroLinear, layers.Modulation])
def test_what_starts_at_zero_does(cls):
    layer = cls(4, 6)
    assert not layer.weight.any()
    assert not layer.bias.any()
    assert not cls(4, 6, bias=False).weight.any()


def test_a_table_starts_with_variance_one_over_its_width():
    torch.manual_seed(0)
    table = layers.Table(64, 256)
    assert table().std().item() == pytest.approx(1 / 16, rel=0.02)


class Constant(nn.Linear):
    """Starts at a number of its own."""

    def reset_parameters(self):
        nn.init.constant_(self.weight, 0.125)
        nn.init.constant_(self.bias, 0.25)


class OwnAttention(Full):
    """Its output starts at zero, and it has a plain linear layer."""

    def __init__(self, **settings):
        super().__init__(**settings)
        nn.init.zeros_(self.out.weight)
        self.extra = nn.Linear(settings["width"], settings["width"])
        nn.init.eye_(self.extra.weight)


class OwnBlock(AdaLNZeroBlock):
    """Gates that start open."""

    def __init__(self, width, attention, mlp):
        super().__init__(width, attention, mlp)
        self.first = Constant(width, width)
        nn.init.constant_(self.modulation.bias, 0.5)


class OwnConditioning(AdaLNZero):
    """Makes them."""

    def make_block(self, attention, mlp):
        return OwnBlock(self.width, attention, mlp)


def test_a_plugin_s_own_start_survives_the_building_of_a_dit():
    model = DiT(**SMALL, signals=TEXT, attention=OwnAttention, conditioning=OwnConditioning)
    for block in model.blocks:
        assert (block.first.weight == 0.125).all()
        assert (block.first.bias == 0.25).all()
        assert (block.modulation.bias == 0.5).all()
        assert not block.attention.out.weight.any()
        assert torch.equal(block.attention.extra.weight, torch.eye(32))
        assert block.attention.qkv.weight.any()  # what it leaves alone starts as ever


def names_of(kind):
    return sorted(c.name for c in get_kind(kind).components.values() if c.package == "vidiff")


@pytest.mark.parametrize("conditioning", names_of("conditioning"))
def test_the_linear_layers_of_every_block_are_those_that_know_how_they_start(conditioning):
    """Xavier's or zero, with biases of zero, as in DiT (Peebles & Xie 2023)."""
    for attention in names_of("attention"):
        parts = {
            kind: partial(get_component(kind, name).cls)
            for kind, name in (("conditioning", conditioning), ("attention", attention))
        }
        if (conditioning, attention) == ("joint", "serial"):
            continue
        for block in DiT(**SMALL, signals=TEXT, **parts).blocks:
            linear = {n: m for n, m in block.named_modules() if isinstance(m, nn.Linear)}
            assert linear
            others = [
                name
                for name, module in linear.items()
                if not isinstance(module, (layers.Linear, layers.ZeroLinear))
            ]
            assert not others
            for module in linear.values():
                bound = math.sqrt(6 / (module.in_features + module.out_features))
                is_zero = isinstance(module, layers.ZeroLinear)
                assert module.weight.abs().max() <= (0 if is_zero else bound)
                assert bool(module.weight.any()) != is_zero
                assert not module.bias.any()
