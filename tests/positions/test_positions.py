"""Positions against their definitions, and against the tables of DiT and Latte."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from vidiff.config_nodes import made
from vidiff.positions import Factorised, Learned, Rope, SinCos, coordinates, rotate

CPU = torch.device("cpu")
PARITY = Path(__file__).parents[3] / "shared" / "parity"


def published(model):
    """The parameters of a reference implementation at a small size."""
    if not PARITY.is_dir():
        pytest.skip(f"{PARITY} with weights of reference implementations is missing")
    return load_file(PARITY / f"{model}.safetensors")


def test_coordinates_follow_the_order_of_tokens():
    places = coordinates((2, 3, 4), CPU)
    assert places.shape == (24, 3)
    assert places.view(2, 3, 4, 3)[1, 2, 3].tolist() == [1, 2, 3]


def test_sincos_is_the_formula_of_vaswani_on_each_axis():
    table = SinCos(width=24).table((2, 3, 4), CPU).view(2, 3, 4, 24)
    place = (1, 2, 3)
    expected = []
    for value in place:
        angles = [value / 10_000 ** (i / 4) for i in range(4)]
        expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    torch.testing.assert_close(table[place], torch.tensor(expected))


def test_sincos_shares_leave_an_axis_out_and_pad_the_rest():
    table = SinCos(width=10, shares=(0, 1, 1)).table((3, 2, 2), CPU).view(3, 2, 2, 10)
    assert (table[0] == table[2]).all()
    assert (table[..., 8:] == 0).all()


@pytest.mark.parametrize("cls", [SinCos, Rope])
def test_shares_are_checked(cls):
    with pytest.raises(ValueError, match="shares"):
        made(cls, width=12, num_heads=1, shares=(0, 0, 0))
    with pytest.raises(ValueError, match="shares"):
        made(cls, width=12, num_heads=1, shares=(1, -1, 1))


def test_rope_needs_heads_of_even_width():
    with pytest.raises(ValueError, match="even width, got 12 / 4"):
        Rope(width=12, num_heads=4)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rope_makes_attention_depend_on_distance_alone(axis):
    torch.manual_seed(0)
    grid = (5, 6, 7)
    rotary = Rope(width=24, num_heads=2).rotary(grid, CPU)
    q, k = torch.randn(2, 12)
    turned_q, turned_k = (
        rotate(x.expand(1, 1, 5 * 6 * 7, 12), rotary).view(*grid, 12) for x in (q, k)
    )
    step = [0, 0, 0]
    step[axis] = 2
    at = lambda p: tuple(p)  # noqa: E731
    first = turned_q[1, 1, 1] @ turned_k[at([1 + s for s in step])]
    second = turned_q[2, 3, 4] @ turned_k[at([p + s for p, s in zip((2, 3, 4), step, strict=True)])]
    elsewhere = turned_q[1, 1, 1] @ turned_k[1, 1, 1]
    torch.testing.assert_close(first, second)
    assert not torch.isclose(first, elsewhere, atol=1e-4)


def test_rope_turns_pairs_and_keeps_lengths():
    x = torch.randn(2, 3, 24, 8)
    rotary = Rope(width=24, num_heads=3).rotary((2, 3, 4), CPU)
    turned = rotate(x, rotary)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[:, :, 0], x[:, :, 0])  # the token at the origin stays
    as_complex = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    angle = torch.polar(torch.ones_like(rotary[0]), torch.atan2(rotary[1], rotary[0]))
    torch.testing.assert_close(torch.view_as_real(as_complex * angle).flatten(-2), turned)


def test_sincos_can_be_the_table_of_dit():
    table = SinCos(width=64, shares=(0, 1, 1), order="fwh").table((1, 4, 4), CPU)
    expected = published("dit_tiny")["param.pos_embed"][0]
    torch.testing.assert_close(table, expected, atol=1e-6, rtol=0)


def test_sincos_gives_axes_channels_in_the_order_asked_for():
    shares = (1, 2, 3)
    parts = {}
    for axis in range(3):
        alone = [float(axis == other) * shares[axis] for other in range(3)]
        channels = 8 * shares[axis]
        one = SinCos(width=channels, shares=tuple(alone)).table((2, 3, 4), CPU)
        parts["fhw"[axis]] = one
    for order in ("fhw", "whf", "hfw"):
        table = SinCos(width=48, shares=shares, order=order).table((2, 3, 4), CPU)
        torch.testing.assert_close(table, torch.cat([parts[axis] for axis in order], dim=-1))


@pytest.mark.parametrize("model", ["latte_tiny_class", "latte_tiny_uncond"])
def test_factorised_has_the_tables_of_latte(model):
    positions, weights = Factorised(width=64), published(model)
    space = positions.add(torch.zeros(1, 4 * 16, 64), (4, 4, 4)).view(4, 16, 64)
    for frame in space:
        torch.testing.assert_close(frame, weights["param.pos_embed"][0], atol=1e-6, rtol=0)
    time = positions.temporal_table(4, CPU)
    torch.testing.assert_close(time, weights["param.temp_embed"][0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("num_context", [0, 3])
def test_factorised_adds_time_once_and_to_the_video_alone(num_context):
    positions, grid = Factorised(width=16, temporal_block=2), (3, 2, 2)
    tokens = torch.zeros(2, num_context + 12, 16)
    for block in (0, 1, 3):
        assert positions.add_before_block(block, tokens, grid) is tokens
    added = positions.add_before_block(2, tokens, grid)
    assert (added[:, :num_context] == 0).all()
    frames = added[:, num_context:].view(2, 3, 4, 16)
    expected = positions.temporal_table(3, CPU)[None, :, None].expand_as(frames)
    torch.testing.assert_close(frames, expected)
    with pytest.raises(ValueError, match="temporal_block must be at least 0, got -1"):
        Factorised(width=16, temporal_block=-1)


def test_learned_positions_are_the_sum_of_a_row_of_each_table():
    torch.manual_seed(0)
    positions = Learned(width=64, max_grid=(5, 60, 70))
    tables = list(positions.tables)
    assert [float(t.detach().std()) for t in tables] == pytest.approx([0.02] * 3, rel=0.15)
    added = positions.add(torch.zeros(1, 24, 64), (2, 3, 4)).view(2, 3, 4, 64)
    torch.testing.assert_close(added[1, 2, 3], tables[0][1] + tables[1][2] + tables[2][3])


def test_learned_positions_stretch_where_asked_to():
    positions = Learned(width=1, max_grid=(3, 2, 2), interpolate=True)
    nn.init.zeros_(positions.tables[1])
    nn.init.zeros_(positions.tables[2])
    positions.tables[0].data = torch.tensor([[0.0], [2.0], [6.0]])
    along = [positions.add(torch.zeros(1, f * 4, 1), (f, 2, 2))[0, ::4, 0] for f in (2, 3, 5)]
    assert along[0].tolist() == [0, 2]
    assert along[1].tolist() == [0, 2, 6]
    torch.testing.assert_close(along[2], torch.tensor([0.0, 1.0, 2.0, 4.0, 6.0]))


def test_learned_positions_refuse_a_larger_grid():
    positions = Learned(width=8, max_grid=(2, 3, 4))
    with pytest.raises(ValueError, match=r"5 tokens along height are more than the 3 .* interpol"):
        positions.add(torch.zeros(1, 40, 8), (2, 5, 4))
    with pytest.raises(ValueError, match=r"max_grid must be at least 1 .* got \[2, 0, 4\]"):
        Learned(width=8, max_grid=(2, 0, 4))


# -- Rotary positions beyond what was trained on ------------------------------------------------


def rope(**settings):
    return Rope(width=48, num_heads=2, **settings)  # 4 pairs for each axis


@pytest.mark.parametrize("extrapolation", ["none", "interpolate", "ntk"])
def test_within_the_trained_grid_nothing_changes(extrapolation):
    settings = {"trained_grid": (4, 6, 8), "extrapolation": extrapolation}
    for grid in ((4, 6, 8), (1, 2, 3)):
        for ours, plain in zip(
            rope(**settings).rotary(grid, CPU), rope().rotary(grid, CPU), strict=True
        ):
            assert torch.equal(ours, plain)


def test_interpolation_puts_a_longer_axis_on_the_trained_one():
    """Every second of twice as many tokens stands where a trained one stood; others are as ever."""
    longer = rope(trained_grid=(4, 6, 8), extrapolation="interpolate").rotary((4, 12, 8), CPU)
    for ours, plain in zip(longer, rope().rotary((4, 6, 8), CPU), strict=True):
        ours, plain = ours.view(4, 12, 8, 12), plain.view(4, 6, 8, 12)
        torch.testing.assert_close(ours[:, ::2], plain)


def test_ntk_keeps_the_shortest_wavelength_and_stretches_the_longest():
    """By the factor that the axis is longer (Peng et al. 2024, section 3.1)."""
    settings = {"trained_grid": (4, 6, 8), "extrapolation": "ntk"}
    places = torch.arange(24.0)
    plain, longer = (r.angles(1, 24, places) for r in (rope(), rope(**settings)))
    torch.testing.assert_close(longer[:, 0], plain[:, 0])
    torch.testing.assert_close(longer[:, -1], plain[:, -1] / 4)
    between = (plain[1] / longer[1])[1:-1]
    assert ((between > 1) & (between < 4)).all()
    one_pair = Rope(width=12, num_heads=2, **settings)  # nothing between shortest and longest
    assert one_pair.angles(1, 24, places).isfinite().all()


@pytest.mark.parametrize("extrapolation", ["none", "interpolate", "ntk"])
def test_attention_depends_on_distance_alone_beyond_the_trained_grid(extrapolation):
    torch.manual_seed(0)
    grid = (5, 6, 7)
    positions = rope(trained_grid=(2, 2, 2), extrapolation=extrapolation)
    q, k = (
        rotate(x.expand(1, 1, 210, 24), positions.rotary(grid, CPU)).view(*grid, 24)
        for x in torch.randn(2, 24)
    )
    for at in ((1, 1, 1), (0, 3, 4), (2, 0, 2)):
        there = tuple(p + step for p, step in zip(at, (2, 1, 2), strict=True))
        torch.testing.assert_close(q[at] @ k[there], q[0, 0, 0] @ k[2, 1, 2])


def test_extrapolation_needs_the_trained_grid():
    for grid in (None, (0, 1, 1)):
        with pytest.raises(ValueError, match=r"extrapolation 'ntk' needs the grid .* trained_grid"):
            rope(extrapolation="ntk", trained_grid=grid)


def test_factorised_refuses_a_model_that_would_not_know_frames_apart():
    positions = Factorised(width=12, temporal_block=2)
    positions.check_depth(3)
    with pytest.raises(ValueError, match="temporal_block 2 is beyond the last of 2 blocks"):
        positions.check_depth(2)
