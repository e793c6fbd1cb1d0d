"""The space-time U-Net: its layers in space and in time, text, sizes and what it starts as."""

import pytest
import torch

from vidiff.conditioning import Context
from vidiff.denoisers import UNet
from vidiff.denoisers.unet_blocks import (
    Attention,
    Block,
    InTime,
    fold,
    per_frame,
    per_place,
    unfold,
)
from vidiff.optimizers.muon_adamw import hidden_matrices
from vidiff.types import Signal, SignalDims

SMALL = {
    "in_channels": 3,
    "out_channels": 4,
    "signals": {"text": SignalDims(vector=8, tokens=8)},
    "width": 8,
    "multipliers": [1, 2],
    "depth": 1,
    "num_heads": 2,
}


def text(batch=2, length=5, real=5):
    mask = torch.arange(length).expand(batch, -1) < real
    return {"text": Signal(torch.randn(batch, 8), torch.randn(batch, length, 8), mask)}


def build(**settings):
    """All parameters that start at zero get a value, so that nothing is hidden behind them."""
    torch.manual_seed(0)
    return awake(UNet(**{**SMALL, **settings}))


def awake(module):
    for parameter in module.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return module


def inputs(frames=3, height=4, width=8):
    return torch.randn(2, 3, frames, height, width), torch.tensor([10.0, 900.0])


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"attention_levels": [0, 1]},
        {"attention_levels": []},
        {"multipliers": [2], "fold": 2, "attention_levels": [0]},
        {"multipliers": [1, 3, 2], "width": 4, "depth": 2},
    ],
    ids=str,
)
def test_every_parameter_learns_and_both_kinds_of_text_are_heard(settings, frames):
    model = build(**settings)
    (latents, t), prompt = inputs(frames), text()
    prompt["text"].vector.requires_grad_()
    prompt["text"].tokens.requires_grad_()
    output = model(latents, t, prompt)
    assert output.shape == (2, 4, frames, 4, 8)
    output.square().mean().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert prompt["text"].vector.grad.any()
    assert (prompt["text"].tokens.grad is not None) == (settings.get("attention_levels") != [])
    assert not torch.allclose(output, model(latents, t.flip(0), prompt), atol=1e-4)
    model(latents, t)  # without text


def test_a_model_without_text_has_no_parameter_that_is_never_used():
    """Or training it in several processes would wait for a gradient that never comes."""
    model = build(signals={})
    model(*inputs()).square().mean().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]


def test_padding_of_prompts_does_not_matter():
    model, (latents, t), prompt = build(), inputs(), text(real=3)
    vector, tokens, mask = (getattr(prompt["text"], form) for form in ("vector", "tokens", "mask"))
    short = {"text": Signal(vector, tokens[:, :3], mask[:, :3])}
    torch.testing.assert_close(
        model(latents, t, prompt), model(latents, t, short), atol=1e-5, rtol=1e-5
    )


def test_each_clip_hears_its_own_prompt():
    """Rows of attention outnumber prompts, so these are repeated: in the right order."""
    model, (latents, t), prompt = build(), inputs(), text()
    tokens = prompt["text"].tokens.clone()
    tokens[1] += 1
    other = {"text": Signal(prompt["text"].vector, tokens, prompt["text"].mask)}
    before, after = model(latents, t, prompt), model(latents, t, other)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1], atol=1e-3)


def test_an_untrained_model_predicts_zero_and_treats_a_video_as_images():
    """Layers along frames start as the identity (Blattmann et al. 2023)."""
    torch.manual_seed(0)
    model, (latents, t) = UNet(**SMALL), inputs()
    assert model(latents, t, text()).abs().max() == 0
    torch.nn.init.normal_(model.last.weight)
    for block in model.modules():
        if isinstance(block, Block):  # as if only layers in space had learned
            awake(block.in_space)
            if block.attention is not None:
                awake(block.attention.over_space)
    changed = latents.clone()
    changed[:, :, 1] += 1
    difference = (model(latents, t) - model(changed, t)).abs().amax((0, 1, 3, 4))
    assert difference[1] > 1e-3
    # The last norm is over frames one by one as well.
    assert difference[[0, 2]].max() < 1e-5


def test_only_its_positions_tell_attention_the_order_of_frames():
    """With convolutions along frames silenced, and the condition the same in all frames."""
    model = build(attention_levels=[0, 1])
    torch.nn.init.zeros_(model.frames.weight)
    for block in model.modules():
        if isinstance(block, InTime):
            torch.nn.init.zeros_(block.conv.weight)
    latents, t = inputs(frames=4)
    order = [2, 0, 3, 1]
    after = model(latents[:, :, order], t)
    assert not torch.allclose(after, model(latents, t)[:, :, order], atol=1e-3)
    for block in model.modules():
        if isinstance(block, Block) and block.attention is not None:
            block.attention.positions.rotary = lambda grid, device: None
    after = model(latents[:, :, order], t)
    torch.testing.assert_close(after, model(latents, t)[:, :, order], atol=1e-4, rtol=1e-4)


def test_the_condition_tells_frames_apart():
    """With nothing that works along frames."""
    model = build(attention_levels=[])
    for block in model.modules():
        if isinstance(block, InTime):
            torch.nn.init.zeros_(block.conv.weight)
    latents, t = inputs(frames=1)
    same = latents.expand(-1, -1, 3, -1, -1)
    output = model(same, t)
    assert not torch.allclose(output[:, :, 0], output[:, :, 1], atol=1e-3)
    torch.nn.init.zeros_(model.frames.weight)
    output = model(same, t)
    torch.testing.assert_close(output[:, :, 0], output[:, :, 1])


def test_convolutions_are_those_of_three_dimensions():
    """1 x 3 x 3 and 3 x 1 x 1, and the norm along frames is over the whole video."""
    x = torch.randn(2, 3, 4, 6, 8)  # b f h w c
    video = x.permute(0, 4, 1, 2, 3)
    for layer, apply, size in (
        (torch.nn.Conv2d(8, 5, 3, padding=1), per_frame, (1, 3, 3)),
        (torch.nn.Conv2d(8, 5, (3, 1), padding=(1, 0)), per_place, (3, 1, 1)),
    ):
        reference = torch.nn.functional.conv3d(
            video, layer.weight.view(5, 8, *size), layer.bias, padding=tuple(s // 2 for s in size)
        )
        torch.testing.assert_close(
            apply(layer, x), reference.permute(0, 2, 3, 4, 1), atol=1e-5, rtol=1e-5
        )
    norm = torch.nn.GroupNorm(2, 8)
    torch.testing.assert_close(per_place(norm, x), norm(video).permute(0, 2, 3, 4, 1))


def test_fold_puts_each_square_of_places_into_channels():
    x = torch.randn(2, 3, 4, 6, 5)
    folded = fold(x, 2)
    reference = torch.nn.functional.pixel_unshuffle(x.permute(0, 1, 4, 2, 3), 2)
    assert (folded == reference.permute(0, 1, 3, 4, 2)).all()
    assert (unfold(folded, 2) == x).all()


def test_text_stands_beside_the_tokens_in_one_softmax():
    """Attention with text equals the formula over the keys of tokens and of real text."""
    torch.manual_seed(0)
    layer = awake(Attention(8, num_heads=1, token_dim=4))
    tokens, words = torch.randn(1, 3, 8), torch.randn(1, 2, 4)
    context = Context(torch.zeros(1, 1, 8), words, torch.tensor([[True, False]]))
    q, k, v = layer.qkv(layer.norm(tokens))[0].chunk(3, dim=-1)
    text_k, text_v = layer.text(words[0, :1]).chunk(2, dim=-1)
    k, v = torch.cat([k, text_k]), torch.cat([v, text_v])
    expected = tokens[0] + layer.out((q @ k.T / 8**0.5).softmax(-1) @ v)
    torch.testing.assert_close(layer(tokens, context)[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "size", "message"),
    [
        ({}, (3, 8), "height 3 does not divide by 2, .* is 4"),
        ({"fold": 4}, (16, 20), "width 20 does not divide by 8, .* is 16"),
        ({"multipliers": [1, 1, 1]}, (4, 2), "width 2 does not divide by 4, .* is 4"),
    ],
)
def test_sizes_that_do_not_fit_name_the_nearest(settings, size, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)(*inputs(1, *size))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multipliers": []}, "needs a level"),
        ({"depth": 0}, "depth=0"),
        ({"attention_levels": [2]}, r"attention_levels \[2\] must lie within 0 and 1"),
        ({"num_heads": 3}, "16 channels of level 1 do not divide into num_heads 3"),
        ({"num_heads": 16}, "num_heads 16 of even width"),
        (
            {"attention_levels": [], "signals": {"words": SignalDims(tokens=4)}},
            "condition 'words' has tokens only, .* give attention_levels",
        ),
    ],
)
def test_refuses_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        UNet(**{**SMALL, **settings})


def test_muon_takes_the_blocks_and_leaves_the_first_and_last_layers():
    model = build()
    hidden = {id(p) for p in hidden_matrices(model)}
    outside = {n for n, p in model.named_parameters() if p.ndim > 1 and id(p) not in hidden}
    ends = {"first.weight", "last.weight", "time.first.weight", "time.last.weight"}
    ends |= {"frames.weight", "vectors.text.weight"}
    modulations = {n for n, p in model.named_parameters() if "modulation" in n and p.ndim > 1}
    assert modulations
    assert outside == ends | modulations
