"""The diffusion transformer, for every way of conditioning, positions, attention and patches."""

import itertools
from functools import partial

import pytest
import torch

from vidiff.denoisers import DiT
from vidiff.denoisers.time import TimeEmbedding
from vidiff.diffusion import Objective
from vidiff.optimizers import MuonAdamW
from vidiff.positions import Layout
from vidiff.registry import get_component, get_kind
from vidiff.samplers import Euler
from vidiff.types import Signal, SignalDims

SMALL = {
    "in_channels": 3,
    "out_channels": 3,
    "signals": {"text": SignalDims(vector=8, tokens=8)},
    "width": 24,
    "depth": 2,
    "num_heads": 2,
}
PARTS = ("conditioning", "attention", "positions", "patchifier")
SETTINGS = {"windowed": {"window": (2, 2, 2)}}
"""Smaller than the grid, so that windows are cut, padded and shifted."""
SIZE = (3, 4, 4, 6)  # with the default patches a grid of 4 x 2 x 3 tokens


def names_of(part):
    """vidiff's own; a plugin tests its own."""
    return sorted(c.name for c in get_kind(part).components.values() if c.package == "vidiff")


COMBINATIONS = list(itertools.product(*map(names_of, PARTS)))
REFUSED = {("joint", "serial"): "joint conditioning does not fit Serial attention"}
"""Pairs of conditioning and attention that have no meaning, and what is said of them."""


def text(batch=2, length=5, real=5):
    mask = torch.arange(length).expand(batch, -1) < real
    return Signal(torch.randn(batch, 8), torch.randn(batch, length, 8), mask)


def build(names, **settings):
    parts = {
        part: partial(get_component(part, name).cls, **SETTINGS.get(name, {}))
        for part, name in zip(PARTS, names, strict=True)
    }
    return DiT(**{**SMALL, **parts, **settings})


def awake(model):
    """Give every parameter that starts at zero a value, so that nothing is hidden behind a gate."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_every_combination_of_parts_trains_samples_and_is_saved(names):
    torch.manual_seed(0)
    if names[:2] in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[names[:2]]):
            build(names)
        return
    model, objective = awake(build(names)), Objective()
    latents, prompt = torch.randn(2, *SIZE), text()
    prompt.vector.requires_grad_()
    prompt.tokens.requires_grad_()

    def network(x, t):
        return model(x, t, {"text": prompt})

    optimizer = MuonAdamW().build([model])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = objective.loss(network, latents).weighted.mean()
    loss.backward()
    assert loss.isfinite()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert any(x.grad is not None and x.grad.any() for x in (prompt.vector, prompt.tokens))
    optimizer.step()
    assert not [n for n, p in model.named_parameters() if torch.equal(p, before[n])]

    with torch.no_grad():
        t = torch.tensor([10.0, 900.0])
        output = network(latents, t)
        assert not torch.allclose(output, network(latents, t.flip(0)), atol=1e-5)
        assert model(latents, t).shape == latents.shape  # without text
        loaded = build(names)
        loaded.load_state_dict(model.state_dict())
        assert torch.equal(loaded(latents, t, {"text": prompt}), output)
        sampled = Euler(num_steps=2)(
            lambda x, t: objective.denoise(network, x, t),
            latents, objective.schedule, lambda: torch.randn_like(latents),
        )  # fmt: skip
    assert sampled.shape == latents.shape
    assert sampled.isfinite().all()


@pytest.mark.parametrize(
    ("conditioning", "attention"),
    list(itertools.product(names_of("conditioning"), names_of("attention"))),
)
def test_a_model_without_text_has_no_parameter_that_is_never_used(conditioning, attention):
    """Or training it in several processes would wait for a gradient that never comes."""
    model = awake(build((conditioning, attention, "sincos", "tubelet"), signals={}))
    model(torch.randn(2, *SIZE), torch.tensor([10.0, 900.0])).square().mean().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]


@pytest.mark.parametrize(
    ("conditioning", "attention"),
    sorted(set(itertools.product(names_of("conditioning"), names_of("attention"))) - set(REFUSED)),
)
def test_padding_of_prompts_does_not_matter(conditioning, attention):
    torch.manual_seed(0)
    model = awake(build((conditioning, attention, "rope", "tubelet")))
    latents, t, prompt = torch.randn(2, *SIZE), torch.tensor([10.0, 900.0]), text(real=3)
    short = Signal(prompt.vector, prompt.tokens[:, :3], prompt.mask[:, :3])
    with_padding, without = (model(latents, t, {"text": one}) for one in (prompt, short))
    torch.testing.assert_close(with_padding, without, atol=1e-5, rtol=1e-5)


SAW = {
    "frame": {(1, h, w) for h in range(2) for w in range(3)},
    "place": {(f, 1, 2) for f in range(4)},
    # Windows of two tokens along each axis: frames 0-1 and 2-3, height whole, width 0-1 and 2.
    "window": {(f, h, 2) for f in (0, 1) for h in range(2)},
    # Shifted by one along frames and width: frames 0, 1-2 and 3, height whole, width 0 and 1-2.
    "shifted window": {(f, h, w) for f in (1, 2) for h in range(2) for w in (1, 2)},
}
SAW["frame or place"] = SAW["frame"] | SAW["place"]
SAW["all"] = set(itertools.product(range(4), range(2), range(3)))


@pytest.mark.parametrize(
    ("attention", "blocks"),
    {
        "full": ["all"] * 4,
        "alternating": ["frame", "place", "frame", "place"],
        "late": ["frame", "frame", "place", "place"],
        "serial": ["all"] * 4,
        "split_heads": ["frame or place"] * 4,
        "windowed": ["window", "shifted window", "window", "shifted window"],
    }.items(),
)
@pytest.mark.parametrize("positions", ["sincos", "rope"])
def test_a_block_lets_a_token_be_seen_where_its_layout_says(attention, blocks, positions):
    """Which tokens change when the one at (1, 1, 2) does."""
    model = awake(build(("adaln", attention, positions, "tubelet"), depth=4))
    grid = (4, 2, 3)
    layout = Layout(grid, model.positions.rotary(grid, torch.device("cpu")))
    context = model.conditioning.prepare(torch.randn(1, 1, 24), {"text": text(1)})
    tokens = torch.randn(1, 24, 24)
    moved = tokens.clone()
    moved.view(*grid, 24)[1, 1, 2] += torch.randn(24)
    with torch.no_grad():
        for block, saw in zip(model.blocks, blocks, strict=True):
            changed = block(moved, context, layout) != block(tokens, context, layout)
            places = changed.any(-1).view(grid).nonzero().tolist()
            assert {tuple(place) for place in places} == SAW[saw]


@pytest.mark.parametrize("attention", names_of("attention"))
def test_in_every_layout_each_block_shows_the_context_to_all_and_all_to_the_context(attention):
    model = awake(build(("in_context", attention, "rope", "tubelet")))
    layout = Layout((4, 2, 3), model.positions.rotary((4, 2, 3), torch.device("cpu")))
    context = model.conditioning.prepare(torch.randn(1, 1, 24), {"text": text(1)})
    tokens = model.conditioning.enter(torch.randn(1, 24, 24), context)
    with torch.no_grad():
        for block, at in itertools.product(model.blocks, (0, 5, 12)):
            moved = tokens.clone()
            moved[:, at] += torch.randn(24)
            changed = block(moved, context, layout) != block(tokens, context, layout)
            reached = changed.any(-1)[0]
            assert reached.all() if at < 6 else reached[:6].all()


def test_an_untrained_model_predicts_zero_and_its_blocks_are_the_identity():
    """adaLN-Zero (Peebles & Xie 2023, section 3.2)."""
    model = DiT(**SMALL)
    latents, t = torch.randn(2, 3, 2, 4, 4), torch.tensor([10.0, 900.0])
    assert model(latents, t, {"text": text()}).abs().max() == 0
    tokens = torch.randn(2, 8, 24)
    context = model.conditioning.prepare(model.time(t).unsqueeze(1), {"text": text()})
    assert (model.blocks[0](tokens, context, Layout((2, 2, 2))) == tokens).all()


def test_any_size_that_divides_into_patches():
    model = awake(DiT(**SMALL))
    for size in ((1, 2, 2), (5, 4, 6), (3, 8, 2)):
        output = model(torch.randn(1, 3, *size), torch.tensor([1.0]), {"text": text(1)})
        assert output.shape[2:] == size


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"depth": 0}, "depth must be at least 1"), ({"num_heads": 5}, "width 24 does not divide")],
)
def test_refuses_impossible_sizes(settings, message):
    with pytest.raises(ValueError, match=message):
        DiT(**{**SMALL, **settings})


def test_time_embedding_is_the_formula_of_ddpm():
    embedding = TimeEmbedding(8, num_frequencies=4)
    embedding.first, embedding.last = torch.nn.Identity(), torch.nn.Identity()
    embedding.first.weight = torch.zeros(1)
    waves = torch.nn.functional.silu(
        torch.cat(
            [
                f(torch.tensor([[5.0 * 10_000 ** (-i / 4) for i in range(4)]]))
                for f in (torch.cos, torch.sin)
            ],
            1,
        )
    )
    torch.testing.assert_close(embedding(torch.tensor([5.0])), waves)
    times = torch.tensor([[5.0, 7.0, 900.0], [0.0, 5.0, 1.0]])
    for row, embedded in zip(times, embedding(times), strict=True):
        torch.testing.assert_close(embedded, embedding(row))


def test_a_size_stands_for_width_depth_and_heads():
    def numbers(**settings):
        with torch.device("meta"):
            model = DiT(in_channels=4, out_channels=4, **settings)
        return model.time.last.out_features, len(model.blocks), model.blocks[0].attention.num_heads

    assert numbers() == numbers(size="S") == (384, 12, 6)
    assert numbers(size="XL") == (1152, 28, 16)
    assert numbers(depth=3) == (384, 3, 6)
    with pytest.raises(
        ValueError,
        match="size B stands for width, depth and num_heads, but got width=None, depth=3",
    ):
        DiT(in_channels=4, out_channels=4, size="B", depth=3)


@pytest.mark.parametrize("positions", names_of("positions"))
@pytest.mark.parametrize("conditioning", names_of("conditioning"))
def test_bfloat16_by_autocast_and_by_weights(conditioning, positions):
    attention = partial(get_component("attention", "full").cls, qk_norm=True)
    model = build((conditioning, "full", positions, "tubelet"), attention=attention)
    latents, t, prompt = torch.randn(2, 3, 2, 4, 4), torch.tensor([10.0, 900.0]), text()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(latents, t, {"text": prompt}).float().square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    prompt = Signal(prompt.vector.bfloat16(), prompt.tokens.bfloat16(), prompt.mask)
    output = model.bfloat16()(latents.bfloat16(), t, {"text": prompt})
    assert output.dtype == torch.bfloat16
