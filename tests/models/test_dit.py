"""The diffusion transformer, for every way of conditioning, positions, attention and patches."""

import itertools
from functools import partial

import pytest
import torch

from vidiff.denoisers import DiT
from vidiff.denoisers.time import TimeEmbedding
from vidiff.registry import get_component, list_components
from vidiff.types import TextFeatures

SMALL = {
    "in_channels": 3,
    "out_channels": 3,
    "text_dim": 8,
    "width": 24,
    "depth": 2,
    "num_heads": 2,
}
PARTS = ("conditioning", "positions", "attention", "patchifier")
COMBINATIONS = list(itertools.product(*(list_components(part) for part in PARTS)))


def text(batch=2, length=5, real=5):
    mask = torch.arange(length).expand(batch, -1) < real
    return TextFeatures(torch.randn(batch, 8), torch.randn(batch, length, 8), mask)


def build(names, **settings):
    parts = {p: get_component(p, n).cls for p, n in zip(PARTS, names, strict=True)}
    return DiT(**{**SMALL, **parts, **settings})


def awake(model):
    """Give every parameter that starts at zero a value, so that nothing is hidden behind a gate."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_every_combination_of_parts_learns_from_time_and_text(names):
    torch.manual_seed(0)
    model = awake(build(names))
    latents, t, prompt = torch.randn(2, 3, 2, 4, 4), torch.tensor([10.0, 900.0]), text()
    prompt.pooled.requires_grad_()
    prompt.tokens.requires_grad_()
    output = model(latents, t, prompt)
    assert output.shape == latents.shape
    output.square().mean().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    said = [g for g in (prompt.pooled.grad, prompt.tokens.grad) if g is not None]
    assert said
    assert any(g.any() for g in said)
    assert not torch.allclose(output[0], model(latents, t.flip(0), prompt)[0], atol=1e-5)
    model(latents, t)  # without text


@pytest.mark.parametrize("conditioning", list_components("conditioning"))
def test_a_model_without_text_has_no_parameter_that_is_never_used(conditioning):
    """Or training it in several processes would wait for a gradient that never comes."""
    model = awake(build((conditioning, "sincos", "full", "tubelet"), text_dim=0))
    model(torch.randn(2, 3, 2, 4, 4), torch.tensor([10.0, 900.0])).square().mean().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]


@pytest.mark.parametrize("conditioning", list_components("conditioning"))
def test_padding_of_prompts_does_not_matter(conditioning):
    torch.manual_seed(0)
    model = awake(build((conditioning, "rope", "full", "tubelet")))
    latents, t, prompt = torch.randn(2, 3, 2, 4, 4), torch.tensor([10.0, 900.0]), text(real=3)
    short = TextFeatures(prompt.pooled, prompt.tokens[:, :3], prompt.mask[:, :3])
    torch.testing.assert_close(
        model(latents, t, prompt), model(latents, t, short), atol=1e-5, rtol=1e-5
    )


def test_an_untrained_model_predicts_zero_and_its_blocks_are_the_identity():
    """adaLN-Zero (Peebles & Xie 2023, section 3.2)."""
    model = DiT(**SMALL)
    latents, t = torch.randn(2, 3, 2, 4, 4), torch.tensor([10.0, 900.0])
    assert model(latents, t, text()).abs().max() == 0
    tokens = torch.randn(2, 8, 24)
    condition = model.conditioning.prepare(model.time(t), text())
    from vidiff.positions import Layout

    assert (model.blocks[0](tokens, condition, Layout((2, 2, 2))) == tokens).all()


def test_any_size_that_divides_into_patches():
    model = awake(DiT(**SMALL))
    for size in ((1, 2, 2), (5, 4, 6), (3, 8, 2)):
        assert model(torch.randn(1, 3, *size), torch.tensor([1.0]), text(1)).shape[2:] == size


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


def test_dit_xl_2_has_the_published_number_of_parameters():
    """675 M (Peebles & Xie 2023, table 1) within 1 %: text and labels are embedded differently."""
    with torch.device("meta"):
        model = DiT(
            in_channels=4, out_channels=8, text_dim=1152, width=1152, depth=28, num_heads=16,
            patchifier=partial(get_component("patchifier", "frame").cls, patch_size=2),
        )  # fmt: skip
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(675e6, rel=0.01)
