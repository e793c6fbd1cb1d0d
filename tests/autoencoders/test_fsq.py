"""Finite scalar quantisation: the paper's numbers, codes and their numbers, gradients."""

import math

import pytest
import torch
from causal_models import small

from vidiff.autoencoders import FSQ, Codes

LEVELS = [[5], [8, 5, 5, 5], [3, 4, 7], [16, 16]]
all_levels = pytest.mark.parametrize("levels", LEVELS, ids=str)


def make(levels):
    return small([(2, 4, 4)], FSQ, levels=levels).eval()


def bounded(z, num_levels, shift=math.atanh):
    """Appendix A.1 of Mentzer et al. 2023, one number at a time."""
    reach = (num_levels - 1) * (1 - 1e-3) / 2
    offset = 0.0 if num_levels % 2 else 0.5
    return math.tanh(z + shift(offset / reach)) * reach - offset


@all_levels
def test_is_the_papers(levels):
    values = [i / 100 for i in range(-400, 401)]
    expected, printed = (
        torch.tensor([[round(bounded(z, n, f)) / (n // 2) for z in values] for n in levels])
        for f in (math.atanh, math.tan)
    )
    x = torch.tensor(values).expand(1, len(levels), -1)[..., None, None]
    found = make(levels).quantise(x)[0, :, :, 0, 0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert (expected == printed).float().mean() > 0.99  # tan, as it is printed, is almost the same


@all_levels
def test_values_lie_on_the_grid_and_every_level_is_reached(levels):
    codes = make(levels).quantise(torch.linspace(-9, 9, 4001).expand(1, len(levels), 1, 1, -1))
    for channel, num_levels in zip(codes.unbind(1), levels, strict=True):
        half = num_levels // 2
        grid = torch.arange(-half, num_levels - half) / half
        torch.testing.assert_close(channel.unique(), grid)
        assert channel[..., 2000] == 0  # zero stays zero


@all_levels
def test_every_code_has_a_number_of_its_own(levels):
    model = make(levels)
    assert model.codebook_size == math.prod(levels)
    indices = torch.arange(model.codebook_size).view(1, -1, 1, 1)
    codes = model.from_indices(indices)
    assert codes.shape == (1, len(levels), model.codebook_size, 1, 1)
    assert torch.equal(model.indices(codes), indices)
    assert len(codes[0, :, :, 0, 0].T.unique(dim=0)) == model.codebook_size
    # The first channel counts in ones, the second in multiples of the first one's levels, ...
    places = [math.prod(levels[:i]) for i in range(len(levels))]
    digits = [(codes[0, i, :, 0, 0] * (n // 2)).round() + n // 2 for i, n in enumerate(levels)]
    by_hand = sum(digit * place for digit, place in zip(digits, places, strict=True))
    assert torch.equal(by_hand.long(), indices.flatten())


def test_gradients_pass_straight_through_the_rounding():
    levels = [8, 5]
    x = torch.randn(1, 2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    factors = torch.randn(1, 2, 3, 2, 2)
    (make(levels).quantise(x) * factors).sum().backward()
    for channel, n in enumerate(levels):
        z = x.detach()[:, channel].clone().requires_grad_()
        reach = (n - 1) * (1 - 1e-3) / 2
        shift = 0.0 if n % 2 else math.atanh(0.5 / reach)
        ((z + shift).tanh() * reach / (n // 2) * factors[:, channel]).sum().backward()
        torch.testing.assert_close(x.grad[:, channel], z.grad, atol=1e-5, rtol=1e-5)


def test_a_posterior_holds_codes():
    model = make([8, 5, 4])
    pixels = torch.rand(2, 3, 5, 8, 8) * 2 - 1
    posterior = model.posterior(pixels)
    assert isinstance(posterior, Codes)
    assert posterior.latents.shape == (2, 3, 3, 2, 2)
    assert posterior.indices.shape == (2, 3, 2, 2)
    assert posterior.num_codes == 160
    assert posterior.indices.unique().numel() > 1
    assert posterior.draw() is posterior.mode is posterior.latents
    assert posterior.kl() == 0
    torch.testing.assert_close(model.from_indices(posterior.indices), posterior.latents)


def test_training_reaches_the_encoder():
    model = make([8, 5, 4]).train()
    torch.manual_seed(0)
    pixels = torch.rand(4, 3, 3, 8, 8) * 2 - 1
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(60):
        reconstruction, posterior = model(pixels)
        error = (reconstruction - pixels).square().mean() + posterior.kl()
        optimizer.zero_grad()
        error.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.7 * errors[0]


@torch.no_grad()
def test_decoding_takes_the_nearest_code():
    """Latents of diffusion are continuous and normalised; half a level of noise changes nothing."""
    model = make([8, 5, 4]).train()
    torch.manual_seed(0)
    for _ in range(5):
        model.posterior(torch.rand(4, 3, 3, 16, 16) * 2 - 1)
    model.eval()
    codes = model.from_indices(torch.randint(model.codebook_size, (2, 3, 2, 2)))
    half_a_level = 0.5 / (torch.tensor([8, 5, 4]) // 2).view(1, 3, 1, 1, 1)
    noise = (torch.rand_like(codes) * 2 - 1) * 0.9 * half_a_level
    expected = model.reconstruct(codes)
    torch.testing.assert_close(model.decode(model.normalise(codes)), expected)
    torch.testing.assert_close(model.decode(model.normalise(codes + noise)), expected)
    far = model.denormalise(model.normalise(torch.full((1, 3, 1, 1, 1), 1e20)))
    assert far.flatten().tolist() == pytest.approx([3 / 4, 1.0, 1 / 2])


def test_half_precision_does_not_move_codes():
    model = make([8, 5, 5, 5])
    indices = torch.arange(1000).view(1, -1, 1, 1)
    assert torch.equal(model.bfloat16().indices(model.from_indices(indices)), indices)


@pytest.mark.parametrize("levels", [[], [5, 2], [2**32, 2**31]], ids=str)
def test_refuses_impossible_levels(levels):
    with pytest.raises(ValueError, match="three levels in each, and fewer than 2\\^63"):
        FSQ(levels=levels, width=[8], depth=1)
