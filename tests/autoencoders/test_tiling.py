"""Decoding in tiles and chunks: exact where it can be, blended and measured where it cannot."""

from itertools import pairwise

import pytest
import torch
from causal_models import small
from torch.nn import functional as F

from vidiff.autoencoders import (
    Autoencoder,
    FramewiseKL,
    decode_in_parts,
    decode_tiled,
    seam_error,
)
from vidiff.autoencoders.tiling import tiles_along


class Repeat(Autoencoder):
    """Each latent becomes ch x cw equal pixels: it looks at nothing around."""

    latent_channels = 3
    compression = (1, 2, 4)

    def encode(self, pixels):
        return pixels[..., ::2, ::4]

    def decode(self, latents):
        return latents.repeat_interleave(2, dim=3).repeat_interleave(4, dim=4)


class Place(Repeat):
    """Pixels say where in its tile they are: each tile differs from the whole everywhere."""

    def decode(self, latents):
        rows = torch.arange(2.0 * latents.shape[3])[:, None]
        return rows.expand(*latents.shape[:3], -1, 4 * latents.shape[4])


@pytest.fixture(scope="module")
def model():
    return small([(2, 4, 4)]).eval()


@pytest.mark.parametrize(("tile", "overlap"), [(4, 0), (4, 1), (4, 2), (3, 1), (1, 0), (5, None)])
@pytest.mark.parametrize("size", [(4, 4), (7, 9), (11, 5), (1, 8)])
def test_what_looks_at_nothing_around_is_the_same_in_tiles(size, tile, overlap):
    latents = torch.randn(2, 3, 2, *size)
    tiled = decode_tiled(Repeat(), latents, tile=tile, overlap=overlap)
    torch.testing.assert_close(tiled, Repeat().decode(latents))


@pytest.mark.parametrize("size", range(1, 24))
@pytest.mark.parametrize(("tile", "overlap"), [(4, 0), (4, 1), (4, 2), (5, 2), (7, 3)])
def test_tiles_cover_the_axis_and_their_weights_add_up_to_one(size, tile, overlap):
    tiles = tiles_along(size, tile, overlap, factor=3)
    assert tiles[0].latents.start == 0
    assert tiles[-1].latents.stop == size
    total = torch.zeros(3 * size)
    for one in tiles:
        assert one.latents.stop - one.latents.start == min(tile, size)
        assert (one.pixels.start, one.pixels.stop) == (
            3 * one.latents.start, 3 * one.latents.stop,
        )  # fmt: skip
        assert (one.weights >= 0).all()
        total[one.pixels] += one.weights
    torch.testing.assert_close(total, torch.ones(3 * size))
    for before, after in pairwise(tiles):
        assert before.latents.stop - after.latents.start >= overlap
        assert after.latents.start > before.latents.start


def test_weights_fall_linearly_across_the_overlap():
    before, after = tiles_along(size=6, tile=4, overlap=2, factor=2)
    ramp = torch.tensor([7, 5, 3, 1]) / 8
    torch.testing.assert_close(before.weights, torch.cat([torch.ones(4), ramp]))
    torch.testing.assert_close(after.weights, torch.cat([ramp.flip(0), torch.ones(4)]))


def test_two_tiles_are_blended_by_hand():
    found = decode_tiled(Place(), torch.zeros(1, 3, 1, 6, 1), tile=4, overlap=2)[0, 0, 0, :, 0]
    first, second, rise = torch.arange(8.0), torch.arange(8.0), torch.tensor([1, 3, 5, 7]) / 8
    middle = first[4:] * (1 - rise) + second[:4] * rise
    torch.testing.assert_close(found, torch.cat([first[:4], middle, second[4:]]))


@torch.no_grad()
@pytest.mark.parametrize("tile", [6, 50])
def test_one_tile_is_whole_decoding_to_the_bit(model, tile):
    latents = torch.randn(2, 4, 3, 6, 5)
    assert torch.equal(decode_tiled(model, latents, tile=tile), model.decode(latents))
    error = seam_error(model, latents, tile=tile)
    assert error == type(error)(0.0, 0.0, 0.0, 0.0)


@torch.no_grad()
def test_places_that_no_edge_can_reach_are_exact(model):
    """Convolutions of 3 x 3 pass an edge's effect on by one latent each: here 1 + 2 of them."""
    latents = torch.randn(1, 4, 2, 24, 3)
    tiled, whole = decode_tiled(model, latents, tile=12, overlap=0), model.decode(latents)
    error = (tiled - whole).abs().amax((0, 1, 2, 4)).view(24, 4).amax(1)
    assert (error[:9] < 1e-5).all()
    assert (error[15:] < 1e-5).all()
    assert (error[9:15] > 1e-5).all()


@torch.no_grad()
def test_blending_removes_the_jump_at_seams(model):
    latents = F.interpolate(torch.randn(1, 4, 2, 4, 4), (2, 24, 24), mode="trilinear")

    def jump(overlap):
        """Between the rows at either side of the hard seam, beyond what whole decoding has."""
        tiled = decode_tiled(model, latents, tile=12, overlap=overlap) - model.decode(latents)
        return (tiled[..., 48, :] - tiled[..., 47, :]).abs().mean()

    assert jump(6) < jump(0) / 4


@torch.no_grad()
def test_seam_error_tells_seams_from_the_rest(model):
    latents = torch.randn(1, 4, 2, 20, 20)
    errors = [seam_error(model, latents, tile=tile, overlap=o) for tile, o in ((10, 0), (11, 2))]
    for error in errors:
        assert error.max_at_seams >= error.mean_at_seams > error.mean_elsewhere > 0
    whole = model.decode(latents)
    tiled = decode_tiled(model, latents, tile=11, overlap=2)
    difference = (tiled - whole).abs()
    at_seams = torch.zeros(80, 80, dtype=torch.bool)
    at_seams[35:45] = at_seams[:, 35:45] = True  # tiles 0..44 and 36..80, and a pixel either side
    assert errors[1].max_at_seams == pytest.approx(difference[..., at_seams].max().item())
    assert errors[1].mean_at_seams == pytest.approx(difference[..., at_seams].mean().item())
    assert errors[1].max_elsewhere == pytest.approx(difference[..., ~at_seams].max().item())
    assert errors[1].mean_elsewhere == pytest.approx(difference[..., ~at_seams].mean().item())


@torch.no_grad()
def test_attention_over_the_whole_frame_shows_in_the_error():
    torch.manual_seed(0)
    framewise = FramewiseKL(latent_channels=4, width=[8, 8, 8], depth=1, num_groups=4).eval()
    error = seam_error(framewise, torch.randn(1, 4, 1, 12, 12), tile=8, overlap=2)
    assert error.max_elsewhere > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 5, 9])
def test_chunks_within_tiles_give_what_tiles_give(model, frames):
    latents = torch.randn(2, 4, 5, 9, 7)
    tiled = decode_tiled(model, latents, tile=4, overlap=1)
    both = decode_in_parts(model, latents, tile=4, overlap=1, frames=frames)
    torch.testing.assert_close(both, tiled, atol=1e-4, rtol=0)
    chunked = decode_in_parts(model, latents, frames=frames)
    torch.testing.assert_close(chunked, model.decode(latents), atol=1e-4, rtol=0)
    assert torch.equal(decode_in_parts(model, latents), model.decode(latents))


@torch.no_grad()
def test_half_precision_tiles(model):
    latents = torch.randn(1, 4, 2, 6, 6)
    exact = decode_tiled(model, latents, tile=4)
    half = decode_tiled(small([(2, 4, 4)]).eval().bfloat16(), latents, tile=4)
    assert half.dtype == torch.bfloat16
    assert (half.float() - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tile": 0}, "tile must be at least 1 latent, got 0"),
        ({"tile": 4, "overlap": 3}, "within 0 and half a tile, 2 latents, got 3"),
        ({"tile": 4, "overlap": -1}, "got -1"),
        ({"frames": 0}, "chunks need at least one frame"),
        ({"frames": 1, "tile": 4}, "Repeat needs the whole video at once"),
    ],
)
def test_refuses_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        decode_in_parts(Repeat(), torch.zeros(1, 3, 2, 6, 6), **settings)
