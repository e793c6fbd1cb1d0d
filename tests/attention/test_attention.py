"""Attention against torch's own module, layouts against dense masks, and what context means."""

import itertools

import pytest
import torch
from torch import nn

from vidiff.attention import Alternating, Full, Late, Serial, SplitHeads, Windowed, attend
from vidiff.config_nodes import made
from vidiff.positions import Layout, Rope, coordinates

GRID = (2, 3, 2)
LARGE = (3, 5, 4)
CPU = torch.device("cpu")


def test_full_attention_is_multi_head_attention():
    torch.manual_seed(0)
    ours = Full(width=24, num_heads=3, block=0, num_blocks=1)
    reference = nn.MultiheadAttention(24, 3, batch_first=True)
    reference.in_proj_weight.data, reference.in_proj_bias.data = ours.qkv.weight, ours.qkv.bias
    reference.out_proj.load_state_dict(ours.out.state_dict())
    x = torch.randn(2, 12, 24)
    mask = torch.ones(2, 12, dtype=torch.bool)
    mask[1, 7:] = False
    torch.testing.assert_close(ours(x, Layout(GRID)), reference(x, x, x)[0])
    torch.testing.assert_close(
        ours(x, Layout(GRID), mask), reference(x, x, x, key_padding_mask=~mask)[0]
    )


@pytest.mark.parametrize("masked", [False, True])
def test_short_and_long_rows_take_kernels_that_agree(masked, monkeypatch):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 2, 10, 8, requires_grad=True).unbind(0)
    mask = torch.rand(2, 10) > 0.3 if masked else None
    short = attend(q, k, v, mask)
    monkeypatch.setattr("vidiff.attention.functional.SHORT", 0)
    torch.testing.assert_close(attend(q, k, v, mask), short)


def test_what_is_masked_does_not_matter():
    torch.manual_seed(0)
    layer = Full(width=8, num_heads=2, block=0, num_blocks=1)
    x = torch.randn(1, 12, 8)
    mask = torch.arange(12)[None] < 9
    changed = x.clone()
    changed[:, 9:] = 100.0
    torch.testing.assert_close(
        layer(x, Layout(GRID), mask)[:, :9], layer(changed, Layout(GRID), mask)[:, :9]
    )


def test_context_tokens_are_not_turned_by_rope():
    """Two orders of the context give the same video tokens, two orders of the video do not."""
    torch.manual_seed(0)
    layer = Full(width=24, num_heads=2, block=0, num_blocks=1, qk_norm=True)
    layout = Layout(GRID, Rope(width=24, num_heads=2).rotary(GRID, torch.device("cpu")))
    context, video = torch.randn(1, 3, 24), torch.randn(1, 12, 24)
    plain = layer(torch.cat([context, video], 1), layout)
    flipped_context = layer(torch.cat([context.flip(1), video], 1), layout)
    flipped_video = layer(torch.cat([context, video.flip(1)], 1), layout)
    torch.testing.assert_close(plain[:, 3:], flipped_context[:, 3:])
    assert not torch.allclose(plain[:, 3:], flipped_video[:, 3:].flip(1), atol=1e-3)


def test_width_must_divide_among_heads():
    with pytest.raises(ValueError, match="width 10 does not divide among num_heads 4"):
        Full(width=10, num_heads=4, block=0, num_blocks=1)


# -- Layouts ------------------------------------------------------------------------------------
#
# Each layout must equal full attention under a mask that says, token by token, who sees whom.


def same_frame(a, b):
    return a[0] == b[0]


def same_place(a, b):
    return a[1:] == b[1:]


def same_window(window, shifted):
    """Two tokens share a box of the grid that is cut at every multiple of the window's extent."""

    def box(place):
        shifts = [extent // 2 if shifted else 0 for extent in window]
        return [
            0 if extent >= size else (at - shift) // extent
            for at, shift, extent, size in zip(place, shifts, window, LARGE, strict=True)
        ]

    return lambda a, b: box(a) == box(b)


def seen(rule, grid, num_context):
    """(k + n, k + n), True where a row's token may attend to a column's."""
    places = [tuple(int(x) for x in place) for place in coordinates(grid, CPU)]
    among = torch.tensor([[rule(a, b) for b in places] for a in places])
    return nn.functional.pad(
        nn.functional.pad(among, (num_context, 0), value=True),
        (0, 0, num_context, 0), value=True,
    )  # fmt: skip


def dense(q, k, v, allowed):
    """Softmax attention by its formula, (b, heads, n, d); allowed (b, n, l)."""
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return logits.masked_fill(~allowed[:, None], -torch.inf).softmax(-1) @ v


class Two:
    """Rules for the first and the second half of the heads."""

    def __init__(self, first, second):
        self.rules = first, second


def make(cls, block=0, num_blocks=2, **settings):
    torch.manual_seed(0)
    given = {"width": 24, "num_heads": 2, "block": block, "num_blocks": num_blocks}
    return made(cls, **given, qk_norm=True, **settings)


WINDOWS = [(1, 2, 2), (2, 2, 3), (3, 5, 4), (8, 8, 8), (2, 5, 1)]
CASES = {
    "alternating, even": (lambda: make(Alternating, 2, 4), same_frame),
    "alternating, odd": (lambda: make(Alternating, 3, 4), same_place),
    "late, first half": (lambda: make(Late, 1, 4), same_frame),
    "late, middle of an odd number": (lambda: make(Late, 1, 3), same_frame),
    "late, second half": (lambda: make(Late, 2, 4), same_place),
    "split_heads": (lambda: make(SplitHeads), Two(same_frame, same_place)),
    **{
        f"windowed {window} in block {block}": (
            lambda w=window, b=block: make(Windowed, b, window=w),
            same_window(window, block == 1),
        )
        for window, block in itertools.product(WINDOWS, (0, 1))
    },
}


def hide(num_context):
    """A mask for two clips that hides context from one, and a token of the video from the other."""
    mask = torch.ones(2, num_context + 60, dtype=torch.bool)
    mask[0, 1:num_context] = False
    mask[1, num_context + 7] = False
    return mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("num_context", [0, 3])
@pytest.mark.parametrize("case", CASES)
def test_a_layout_is_full_attention_under_a_mask(case, num_context, masked):
    build, rule = CASES[case]
    layer = build()
    layout = Layout(LARGE, Rope(width=24, num_heads=2).rotary(LARGE, CPU))
    tokens = torch.randn(2, num_context + 60, 24, requires_grad=True)
    mask = hide(num_context) if masked else None
    q, k, v = layer.split(tokens, layout.rotary)
    rules = rule.rules if isinstance(rule, Two) else (rule, rule)
    expected = []
    for head, one in enumerate(rules):
        allowed = seen(one, LARGE, num_context).expand(2, -1, -1)
        allowed = allowed if mask is None else allowed & mask[:, None]
        expected.append(dense(*(x[:, head : head + 1] for x in (q, k, v)), allowed))
    expected = torch.cat(expected, dim=1)
    torch.testing.assert_close(layer(tokens, layout, mask), layer.merge(expected))
    asked_by_video = layer.mix(q[:, :, num_context:], k, v, layout, mask)
    torch.testing.assert_close(asked_by_video, expected[:, :, num_context:])
    layer(tokens, layout, mask).square().sum().backward()
    assert tokens.grad.isfinite().all()


def test_serial_is_two_layers_on_one_residual_stream():
    layer = make(Serial)
    layout = Layout(LARGE, Rope(width=24, num_heads=2).rotary(LARGE, CPU))
    x, mask = torch.randn(2, 63, 24), hide(3)

    def attention(part, rule, tokens):
        allowed = seen(rule, LARGE, 3) & mask[:, None]
        return part.merge(dense(*part.split(tokens, layout.rotary), allowed))

    first = x + attention(layer.spatial, same_frame, x)
    second = first + attention(layer.temporal, same_place, layer.norm(first))
    torch.testing.assert_close(x + layer(x, layout, mask), second, atol=1e-5, rtol=1e-5)


def test_split_heads_adds_up_a_spatial_and_a_temporal_map():
    layer, spatial, temporal = make(SplitHeads), make(Alternating), make(Alternating, 1)
    x, layout = torch.randn(1, 60, 24), Layout(LARGE)
    with torch.no_grad():
        for other, kept in ((spatial, slice(0, 12)), (temporal, slice(12, 24))):
            other.load_state_dict(layer.state_dict())
            weight = torch.zeros_like(layer.out.weight)
            weight[:, kept] = layer.out.weight[:, kept]
            other.out.weight.copy_(weight)
    both = spatial(x, layout) + temporal(x, layout) - layer.out.bias
    torch.testing.assert_close(layer(x, layout), both)


def test_a_window_that_covers_the_grid_is_full_attention():
    x = torch.randn(2, 60, 24)
    for block in (0, 1):
        covered, full = make(Windowed, block, window=(3, 8, 4)), make(Full, block)
        torch.testing.assert_close(covered(x, Layout(LARGE)), full(x, Layout(LARGE)))


@pytest.mark.parametrize(("cls", "settings"), [(SplitHeads, {}), (Windowed, {"window": (2, 2, 2)})])
def test_groups_compile_into_one_graph(cls, settings):
    layer, layout = make(cls, 1, **settings), Layout(LARGE)
    x, mask = torch.randn(2, 63, 24), hide(3)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, layout, mask), layer(x, layout, mask))


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (
            Alternating,
            {"num_blocks": 1},
            "Alternating .* num_blocks=1: set depth to at least 2",
        ),
        (Late, {"num_blocks": 1}, "Late .* num_blocks=1: set depth to at least 2"),
        (SplitHeads, {"num_heads": 3}, "split_heads .* got num_heads=3: set num_heads to an even"),
        (Windowed, {"window": (2, 0, 2)}, r"window must be at least 1 .* got \[2, 0, 2\]"),
        (Serial, {"num_heads": 5}, "width 24 does not divide among num_heads 5"),
    ],
)
def test_layouts_refuse_what_they_cannot_be(cls, settings, message):
    given = {"width": 24, "num_heads": 2, "block": 0, "num_blocks": 2} | settings
    with pytest.raises(ValueError, match=message):
        made(cls, **given)
