"""Positions against their definitions."""

import math

import pytest
import torch

from vidiff.positions import Rope, SinCos, coordinates, rotate

CPU = torch.device("cpu")


def test_coordinates_follow_the_order_of_tokens():
    places = coordinates((2, 3, 4), CPU)
    assert places.shape == (24, 3)
    assert places.view(2, 3, 4, 3)[1, 2, 3].tolist() == [1, 2, 3]


def test_sincos_is_the_formula_of_vaswani_on_each_axis():
    table = SinCos(width=24, num_heads=1).table((2, 3, 4), CPU).view(2, 3, 4, 24)
    place = (1, 2, 3)
    expected = []
    for value in place:
        angles = [value / 10_000 ** (i / 4) for i in range(4)]
        expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    torch.testing.assert_close(table[place], torch.tensor(expected))


def test_sincos_shares_leave_an_axis_out_and_pad_the_rest():
    table = SinCos(width=10, num_heads=1, shares=(0, 1, 1)).table((3, 2, 2), CPU).view(3, 2, 2, 10)
    assert (table[0] == table[2]).all()
    assert (table[..., 8:] == 0).all()


@pytest.mark.parametrize("cls", [SinCos, Rope])
def test_shares_are_checked(cls):
    with pytest.raises(ValueError, match="shares"):
        cls(width=12, num_heads=1, shares=(0, 0, 0))
    with pytest.raises(ValueError, match="shares"):
        cls(width=12, num_heads=1, shares=(1, -1, 1))


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
