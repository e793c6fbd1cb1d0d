"""Patchifiers: order, round trip, errors; for every one that is registered."""

import pytest
import torch
from torch import nn

from vidiff.patchifiers import Frame, Tubelet
from vidiff.registry import get_component, list_components


@pytest.mark.parametrize("name", list_components("patchifier"))
def test_grid_and_shapes(name):
    patchifier = get_component("patchifier", name).cls(in_channels=3, out_channels=5, width=16)
    latents = torch.randn(2, 3, 4, 8, 12)
    grid = patchifier.grid(4, 8, 12)
    tokens = patchifier.embed(latents)
    assert tokens.shape == (2, grid[0] * grid[1] * grid[2], 16)
    assert patchifier.unembed(tokens, grid).shape == (2, 5, 4, 8, 12)


def test_a_tubelet_is_a_strided_convolution():
    """ViViT's embedding: a 3-D convolution whose stride is its kernel."""
    patchifier = Tubelet(in_channels=3, out_channels=3, width=8, patch_size=(2, 4, 2))
    reference = nn.Conv3d(3, 8, (2, 4, 2), stride=(2, 4, 2))
    reference.weight.data = patchifier.to_tokens.weight.view(8, 3, 2, 4, 2)
    reference.bias.data = patchifier.to_tokens.bias
    x = torch.randn(2, 3, 4, 8, 6)
    torch.testing.assert_close(
        patchifier.embed(x), reference(x).flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5
    )


def test_unembed_undoes_embed_when_its_map_is_the_inverse():
    patchifier = Tubelet(in_channels=2, out_channels=2, width=16, patch_size=(2, 2, 2))
    nn.init.eye_(patchifier.to_tokens.weight)
    nn.init.eye_(patchifier.to_latents.weight)
    x = torch.randn(1, 2, 4, 6, 8)
    torch.testing.assert_close(patchifier.unembed(patchifier.embed(x), (2, 3, 4)), x)


def test_frame_patches_do_not_mix_frames():
    patchifier = Frame(in_channels=3, out_channels=3, width=8, patch_size=4)
    x = torch.randn(1, 3, 3, 8, 8)
    changed = x.clone()
    changed[:, :, 2] = 0
    before, after = (patchifier.embed(v).view(1, 3, 4, 8) for v in (x, changed))
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2], after[:, 2])


def test_an_untrained_model_predicts_zero():
    patchifier = Tubelet(in_channels=3, out_channels=3, width=8)
    assert patchifier.unembed(torch.randn(1, 4, 8), (1, 2, 2)).abs().max() == 0


def test_sizes_that_do_not_divide_name_the_nearest_that_do():
    patchifier = Tubelet(in_channels=3, out_channels=3, width=8, patch_size=(1, 4, 4))
    with pytest.raises(ValueError, match=r"30 latent height do not divide .* of 4; .* 32"):
        patchifier.grid(4, 30, 32)
    with pytest.raises(ValueError, match="patch_size must be at least 1"):
        Tubelet(in_channels=3, out_channels=3, width=8, patch_size=(0, 2, 2))
