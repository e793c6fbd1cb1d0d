"""Attention against torch's own module, and what masks and context tokens mean."""

import pytest
import torch
from torch import nn

from vidiff.attention import Full, attend
from vidiff.positions import Layout, Rope

GRID = (2, 3, 2)


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
