"""Ways of conditioning against diffusers' blocks, published counts, and what text may touch."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vidiff.attention import Attention, Full, Serial, SplitHeads
from vidiff.conditioning import AdaLN, AdaLNSingle, AdaLNZero, Context, Joint
from vidiff.conditioning.joint import JointBlock
from vidiff.conditions import Labels
from vidiff.config_nodes import made
from vidiff.denoisers import DiT
from vidiff.denoisers.dit import SIZES
from vidiff.patchifiers import Frame
from vidiff.positions import Layout
from vidiff.registry import get_component, list_components
from vidiff.types import Signal, SignalDims

WIDTH, HEADS, GRID = 24, 2, (2, 3, 2)
TEXT = {"text": SignalDims(vector=8, tokens=8)}
MASK = torch.tensor([[True, True, False, False], [True, True, True, True]])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def full(block=0, num_blocks=2, **settings):
    return Full(width=WIDTH, num_heads=HEADS, block=block, num_blocks=num_blocks, **settings)


def mlp():
    layers = nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(approximate="tanh"), nn.Linear(4 * WIDTH, WIDTH)
    return nn.Sequential(*layers)


def random(module):
    """Every parameter drawn anew, so that nothing starts at zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.2)
    return module


def text(dim=8):
    return {"text": Signal(torch.randn(2, dim), torch.randn(2, 4, dim), MASK)}


def copy_linear(ours, *theirs):
    """Weights of linear maps, those of several stacked."""
    with torch.no_grad():
        ours.weight.copy_(torch.cat([linear.weight for linear in theirs]))
        ours.bias.copy_(torch.cat([linear.bias for linear in theirs]))


# -- Signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_components("conditioning"))
def test_signals_may_be_taken_as_they_are(name):
    make = partial(get_component("conditioning", name).cls, width=WIDTH, num_heads=HEADS)
    prompt, time = text(WIDTH), torch.zeros(2, 1, WIDTH)
    wide = {"text": SignalDims(vector=WIDTH, tokens=WIDTH)}
    made = make(signals=wide, project=False)
    context = made.prepare(time, prompt)
    assert any("text" in n for n, _ in make(signals=TEXT).named_parameters())
    assert not any("text" in n for n, _ in made.named_parameters())
    if context.tokens is not None:
        assert torch.equal(context.tokens[:, -4:], prompt["text"].tokens)
    if isinstance(made, (AdaLN, AdaLNZero, Joint)):
        assert torch.equal(context.vector, prompt["text"].vector.unsqueeze(1))
    with pytest.raises(
        ValueError,
        match=r"'text' of width 8 as it is, .* width 24: .*\(text_dim\), or set project: true",
    ):
        make(signals=TEXT, project=False)


# -- Published figures ----------------------------------------------------------------------------


def dit(size, patch_size, conditioning):
    """A published DiT of classes, without weights; with the class table's parameters."""
    with torch.device("meta"):
        width = {"S": 384, "B": 768, "L": 1024, "XL": 1152}[size]
        labels = Labels(num_classes=1000, text_dim=width)
        model = DiT(
            in_channels=4, out_channels=8, signals={"label": labels.dims}, size=size,
            patchifier=partial(Frame, patch_size=patch_size),
            conditioning=partial(conditioning, project=False),
        )  # fmt: skip
    return model, sum(p.numel() for module in (model, labels) for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "published"),
    [("in_context", 119.4), ("cross_attention", 137.6), ("adaln", 118.6), ("adaln_zero", 118.6)],
)
def test_dit_xl_2_costs_what_is_published(name, published):
    """Gflops of multiply-adds (Peebles & Xie 2023, figure 5 and table 4), within 0.1 %."""
    model, _ = dit("XL", 2, get_component("conditioning", name).cls)
    with torch.device("meta"), FlopCounterMode(display=False) as counted:
        label = Signal(
            torch.zeros(1, 1152), torch.zeros(1, 1, 1152), torch.ones(1, 1, dtype=torch.bool)
        )
        model(torch.zeros(1, 4, 1, 32, 32), torch.zeros(1), {"label": label})
    assert counted.get_total_flops() / 2e9 == pytest.approx(published, rel=1e-3)


GFLOPS = {
    "S/8": 0.36, "S/4": 1.41, "S/2": 6.06, "B/8": 1.42, "B/4": 5.56, "B/2": 23.01,
    "L/8": 5.01, "L/4": 19.70, "L/2": 80.71, "XL/8": 7.39, "XL/4": 29.05, "XL/2": 118.64,
}  # fmt: skip


@pytest.mark.parametrize("name", GFLOPS)
def test_all_twelve_sizes_cost_what_is_published(name):
    """Gflops of multiply-adds (Peebles & Xie 2023, table 4), as printed or within 0.5 %."""
    size, patch_size = name.split("/")
    model, _ = dit(size, int(patch_size), AdaLNZero)
    width = SIZES[size][0]
    with torch.device("meta"), FlopCounterMode(display=False) as counted:
        vector, real = torch.zeros(1, width), torch.ones(1, 1, dtype=torch.bool)
        label = Signal(vector, vector.unsqueeze(1), real)
        model(torch.zeros(1, 4, 1, 32, 32), torch.zeros(1), {"label": label})
    found = counted.get_total_flops() / 2e9
    assert found == pytest.approx(GFLOPS[name], rel=5e-3, abs=0.005)


@pytest.mark.parametrize(
    ("size", "patch_size", "published"),
    [("XL", 2, 674_834_720), ("L", 4, 457_988_224), ("B", 8, 130_869_248), ("S", 2, 32_865_056)],
)
def test_dit_has_the_published_number_of_parameters(size, patch_size, published):
    """Trainable parameters of facebookresearch/DiT, its table of classes included."""
    assert dit(size, patch_size, AdaLNZero)[1] == published


# -- adaLN ----------------------------------------------------------------------------------------


def test_an_untrained_adaln_block_is_a_plain_block_and_a_trained_one_is_modulated():
    """Peebles & Xie 2023, figure 3: scale and shift before each layer, nothing behind it."""
    made = AdaLN(width=WIDTH, num_heads=HEADS)
    block, x, layout = made.make_block(full(), mlp()), torch.randn(2, 12, WIDTH), Layout(GRID)
    context = made.prepare(torch.randn(2, 1, WIDTH), {})

    def norm(tokens, shift=0.0, scale=0.0):
        return nn.functional.layer_norm(tokens, (WIDTH,), eps=1e-6) * (1 + scale) + shift

    plain = x + block.attention(norm(x), layout)
    torch.testing.assert_close(block(x, context, layout), plain + block.mlp(norm(plain)))

    random(block)
    signals = [
        layer.modulation(nn.functional.silu(context.vector)).chunk(2, -1)
        for layer in (block.norm_attention, block.norm_mlp)
    ]
    moved = x + block.attention(norm(x, *signals[0]), layout)
    expected = moved + block.mlp(norm(moved, *signals[1]))
    torch.testing.assert_close(block(x, context, layout), expected)


# -- adaLN-single ---------------------------------------------------------------------------------


def test_adaln_single_is_the_block_of_pixart():
    attention = pytest.importorskip("diffusers.models.attention")
    theirs = attention.BasicTransformerBlock(
        WIDTH, HEADS, WIDTH // HEADS, cross_attention_dim=WIDTH, norm_type="ada_norm_single",
        activation_fn="gelu-approximate", attention_bias=True, norm_elementwise_affine=False,
        norm_eps=1e-6,
    )  # fmt: skip
    random(theirs)
    made = random(AdaLNSingle(width=WIDTH, num_heads=HEADS, signals=TEXT))
    ours = made.make_block(full(), mlp())
    first, second = theirs.attn1, theirs.attn2
    copy_linear(ours.attention.qkv, first.to_q, first.to_k, first.to_v)
    copy_linear(ours.attention.out, first.to_out[0])
    copy_linear(ours.attend_context.q, second.to_q)
    copy_linear(ours.attend_context.kv, second.to_k, second.to_v)
    copy_linear(ours.attend_context.out, second.to_out[0])
    copy_linear(ours.mlp[0], theirs.ff.net[0].proj)
    copy_linear(ours.mlp[2], theirs.ff.net[2])
    ours.modulation_table.weight.data = theirs.scale_shift_table.data

    x, time, prompt = torch.randn(2, 12, WIDTH), torch.randn(2, 1, WIDTH), text()
    context = made.prepare(time, prompt)
    expected = theirs(
        x,
        encoder_hidden_states=made.token_maps["text"](prompt["text"].tokens),
        encoder_attention_mask=(~MASK[:, None]).float() * -10_000,
        timestep=made.modulation(nn.functional.silu(time)),
    )
    torch.testing.assert_close(ours(x, context, Layout(GRID)), expected, atol=1e-5, rtol=1e-5)
    norm = random(made.make_last_norm())
    shift, scale = (norm.modulation_table() + time).chunk(2, 1)
    expected = nn.functional.layer_norm(x, (WIDTH,), eps=1e-6) * (1 + scale) + shift
    torch.testing.assert_close(norm(x, context), expected)


def test_adaln_single_starts_without_text():
    made = AdaLNSingle(width=WIDTH, num_heads=HEADS, signals=TEXT)
    block, x, time = (
        made.make_block(full(), mlp()),
        torch.randn(2, 12, WIDTH),
        torch.randn(2, 1, WIDTH),
    )
    with_text, without = (
        block(x, made.prepare(time, prompt), Layout(GRID)) for prompt in (text(), {})
    )
    assert torch.equal(with_text, without)


# -- Joint ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [False, True])
def test_joint_is_the_block_of_stable_diffusion_3(last):
    attention = pytest.importorskip("diffusers.models.attention")
    theirs = random(attention.JointTransformerBlock(WIDTH, HEADS, WIDTH // HEADS, last)).eval()
    made = Joint(width=WIDTH, num_heads=HEADS, signals=TEXT)
    ours = made.make_block(full(block=int(last)), mlp())
    both = theirs.attn
    copy_linear(ours.modulation, theirs.norm1.linear)
    copy_linear(ours.attention.qkv, both.to_q, both.to_k, both.to_v)
    copy_linear(ours.attention.out, both.to_out[0])
    copy_linear(ours.mlp[0], theirs.ff.net[0].proj)
    copy_linear(ours.mlp[2], theirs.ff.net[2])
    signal = theirs.norm1_context.linear
    parts = [nn.Linear(WIDTH, WIDTH) for _ in range(len(signal.bias) // WIDTH)]
    for part, weight, bias in zip(
        parts, signal.weight.split(WIDTH), signal.bias.split(WIDTH), strict=True
    ):
        part.weight.data, part.bias.data = weight, bias
    if last:  # diffusers has scale, then shift
        copy_linear(ours.text.norm_attention.modulation, parts[1], parts[0])
        copy_linear(ours.text.kv, both.add_k_proj, both.add_v_proj)
    else:  # shift, scale and gate, of attention, then of the MLP
        copy_linear(ours.text.norm_attention.modulation, *parts[0:2])
        copy_linear(ours.text.norm_mlp.modulation, *parts[3:5])
        copy_linear(ours.text.gate_modulation, parts[2], parts[5])
        copy_linear(ours.text.heads.qkv, both.add_q_proj, both.add_k_proj, both.add_v_proj)
        copy_linear(ours.text.heads.out, both.to_add_out)
        copy_linear(ours.text.mlp[0], theirs.ff_context.net[0].proj)
        copy_linear(ours.text.mlp[2], theirs.ff_context.net[2])

    video, words, vector = (torch.randn(2, n, WIDTH) for n in (12, 4, 1))
    text_after, video_after = theirs(video, words, vector.squeeze(1))
    everything = torch.ones(2, 4, dtype=torch.bool)  # diffusers has no mask here
    context = Context(vector, words, everything)
    found = ours(torch.cat([words, video], 1), context, Layout(GRID))
    expected = torch.cat([words if last else text_after, video_after], 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_joint_norms_queries_and_keys_of_both_streams_where_the_attention_does():
    made = Joint(width=WIDTH, num_heads=HEADS, signals=TEXT)
    blocks = [random(made.make_block(full(block, qk_norm=True), mlp())) for block in (0, 1)]
    assert isinstance(blocks[0].text.heads.norm_q, nn.RMSNorm)
    assert isinstance(blocks[1].text.norm_k, nn.RMSNorm)
    context = made.prepare(torch.randn(2, 1, WIDTH), text())
    tokens = made.enter(torch.randn(2, 12, WIDTH), context)
    for block in blocks:
        tokens = block(tokens, context, Layout(GRID))
    made.leave(tokens, context).square().mean().backward()
    for block in blocks:
        assert not [n for n, p in block.named_parameters() if p.grad is None or not p.grad.any()]


def test_joint_refuses_an_attention_with_two_mixes_or_a_forward_of_its_own():
    class Gated(Full):
        """Does something that joint would leave out."""

        def forward(self, tokens, layout, mask=None):
            return super().forward(tokens, layout, mask).tanh()

    joint = Joint(width=WIDTH, num_heads=HEADS, signals=TEXT)
    for cls in (Serial, Gated):
        layer: Attention = made(cls, width=WIDTH, num_heads=HEADS, block=0, num_blocks=2)
        with pytest.raises(ValueError, match=f"{cls.__name__} attention: .* fit: .*full.*windowed"):
            joint.make_block(layer, mlp())
    fits = SplitHeads(width=WIDTH, num_heads=HEADS, block=0, num_blocks=2)
    assert isinstance(joint.make_block(fits, mlp()), JointBlock)


def test_joint_without_text_is_adaln_zero():
    x, time = torch.randn(2, 12, WIDTH), torch.randn(2, 1, WIDTH)
    wordless, zero = (c(width=WIDTH, num_heads=HEADS) for c in (Joint, AdaLNZero))
    attention, layers = full(), mlp()
    ours, theirs = (made.make_block(attention, layers) for made in (wordless, zero))
    random(ours)
    theirs.load_state_dict(ours.state_dict())
    context = wordless.prepare(time, {})
    assert torch.equal(ours(x, context, Layout(GRID)), theirs(x, context, Layout(GRID)))
