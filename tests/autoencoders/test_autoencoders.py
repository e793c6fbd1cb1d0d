"""Causality, sizes and statistics of the video autoencoders."""

import pytest
import torch
from causal_models import BLOCKS, COMPRESSIONS, folds_of, small
from normalised import check_normalised
from torch.nn import functional as F

from vidiff.autoencoders import FSQ, CausalKL, FramewiseKL, Gaussian, Identity
from vidiff.autoencoders.causal import CausalDepthwiseConv

FOLDS = [*(folds_of(*c) for c in COMPRESSIONS), [(4, 8, 8)], [(2, 2, 2), (2, 2, 2)]]
everywhere = pytest.mark.parametrize("folds", FOLDS, ids=str)
blocks = pytest.mark.parametrize("block", BLOCKS)


@pytest.mark.parametrize("compression", COMPRESSIONS, ids=str)
def test_the_compression_is_the_product_of_the_folds(compression):
    ct, cs = compression
    assert small(folds_of(ct, cs)).compression == (ct, cs, cs)


@blocks
@everywhere
def test_sizes_follow_the_compression(folds, block):
    model = small(folds, block=block).eval()
    ct, ch, cw = model.compression
    pixels = torch.randn(2, 3, 1 + 2 * ct, 2 * ch, 3 * cw)
    latents = model.encode(pixels)
    assert latents.shape == (2, 4, 3, 2, 3) == (2, 4, *model.latent_size(*pixels.shape[2:]))
    assert model.decode(latents).shape == pixels.shape


@blocks
@everywhere
def test_no_latent_frame_sees_later_pixels(folds, block):
    model = small(folds, block=block).eval()
    ct, ch, cw = model.compression
    pixels = torch.randn(1, 3, 1 + 3 * ct, ch, cw)
    for k in range(3):
        changed = pixels.clone()
        changed[:, :, 1 + k * ct :] += 1
        before, after = model.encode(pixels), model.encode(changed)
        torch.testing.assert_close(before[:, :, : k + 1], after[:, :, : k + 1])
        assert not torch.allclose(before[:, :, k + 1], after[:, :, k + 1], atol=1e-4)


@blocks
@everywhere
def test_no_frame_sees_later_latents(folds, block):
    model = small(folds, block=block).eval()
    ct = model.compression[0]
    latents = torch.randn(1, 4, 3, 1, 1)
    changed = latents.clone()
    changed[:, :, 2] += 1
    before, after = model.decode(latents), model.decode(changed)
    torch.testing.assert_close(before[:, :, : 1 + ct], after[:, :, : 1 + ct])
    assert not torch.allclose(before[:, :, 1 + ct :], after[:, :, 1 + ct :], atol=1e-4)


@blocks
@everywhere
def test_an_image_is_the_first_frame_of_a_video(folds, block):
    model = small(folds, block=block).eval()
    ct, ch, cw = model.compression
    video = torch.randn(1, 3, 1 + ct, ch, cw)
    torch.testing.assert_close(model.encode(video)[:, :, :1], model.encode(video[:, :, :1]))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((8, 16, 16), "8 frames do not fit .* of 4, .* nearest is 9"),
        ((9, 30, 16), "height 30 does not divide .* 4; .* is 32"),
        ((9, 16, 2), "width 2 does not divide .* 4; .* is 4"),
        ((0, 16, 16), "0 frames do not fit .* of 4, .* nearest is 1"),
    ],
)
def test_sizes_that_do_not_fit_name_the_nearest(size, message):
    with pytest.raises(ValueError, match=message):
        small([(4, 4, 4)]).encode(torch.zeros(1, 3, *size))


def test_latents_are_normalised_by_what_training_saw():
    model = small([(2, 4, 4)])
    torch.manual_seed(0)
    for _ in range(20):
        model.posterior(torch.randn(8, 3, 3, 8, 8) * 0.5 + 0.3)
    drawn = model.posterior(torch.randn(256, 3, 3, 8, 8) * 0.5 + 0.3).draw()
    check_normalised(model, drawn, within=0.1)


def test_evaluation_leaves_the_statistics_alone():
    model = small([(2, 4, 4)]).eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.encode(torch.randn(2, 3, 3, 8, 8))
    assert all((before[k] == v).all() for k, v in model.state_dict().items())


def test_kl_is_torchs():
    mean, log_variance = torch.randn(3, 4, 2, 2, 2), torch.randn(3, 4, 2, 2, 2)
    reference = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * log_variance).exp()),
        torch.distributions.Normal(0.0, 1.0),
    )
    torch.testing.assert_close(Gaussian(mean, log_variance).kl(), reference.mean())


def test_identity_changes_nothing():
    pixels = torch.randn(1, 3, 2, 4, 4)
    model = Identity()
    assert model.encode(pixels) is pixels
    assert model.decode(pixels) is pixels
    with pytest.raises(TypeError, match="Identity has nothing to train"):
        model.posterior(pixels)


def test_depths_are_set_by_half_and_by_stage():
    model = small([(2, 4, 4), (1, 2, 2)], depth=[1, 2], decoder_depth=3)
    assert [len(stage.blocks) for stage in list(model.encoder)[:-1]] == [1, 2]
    assert [len(stage.blocks) for stage in list(model.decoder)[1:]] == [3, 3]
    pixels = torch.randn(1, 3, 3, 16, 16)
    assert model.eval()(pixels)[0].shape == pixels.shape


def test_a_depthwise_convolution_is_torchs():
    conv = CausalDepthwiseConv(6)
    x = torch.randn(2, 6, 5, 7, 8)
    held = torch.cat([x[:, :, :1]] * 2 + [x], dim=2)
    reference = F.conv3d(held, conv.weight, conv.bias, padding=(0, 1, 1), groups=6)
    torch.testing.assert_close(conv(x), reference, atol=1e-5, rtol=1e-5)


def test_depthwise_blocks_are_the_small_ones():
    count = {b: sum(p.numel() for p in CausalKL(block=b).parameters()) for b in BLOCKS}
    assert count["depthwise"] < count["residual"] / 3


def test_names_of_weights_are_those_of_saved_checkpoints():
    names = set(small([(2, 4, 4), (1, 2, 2)]).state_dict())
    assert {
        "encoder.0.mix.weight", "encoder.1.blocks.0.conv1.weight", "encoder.2.weight",
        "decoder.0.weight", "decoder.1.blocks.0.norm2.gain", "decoder.2.mix.bias",
        "latent_mean", "latent_square", "num_updates",
    } < names  # fmt: skip
    assert len(names) == 4 * 8 + 4 + 3


@pytest.mark.parametrize(
    "model",
    [small([(2, 4, 4)]), small([(2, 4, 4)], FSQ), FramewiseKL(width=[8, 8, 8], num_groups=4)],
    ids=lambda model: type(model).__name__,
)
def test_the_last_layer_gives_the_pixels(model):
    """Doubling it doubles the pixels, less the bias."""
    model.eval()
    latents = torch.randn(1, model.latent_channels, 2, 2, 2)
    with torch.no_grad():
        before = model.reconstruct(latents)
        model.last_layer().zero_()
        bias = model.reconstruct(latents)
    assert before.std() > 0
    assert bias.flatten(3).std(-1).max() < before.flatten(3).std(-1).min()
    assert len(bias.unique()) <= 3 * 2 * 4 * 4


@pytest.mark.parametrize(
    "make",
    [lambda: small([(2, 4, 4)]), lambda: small([(2, 4, 4)], FSQ, block="depthwise"),
     lambda: FramewiseKL(width=[8, 8, 8], num_groups=4)],
    ids=["causal_kl", "fsq", "framewise_kl"],
)  # fmt: skip
def test_half_precision_weights_train_and_keep_exact_statistics(make):
    torch.manual_seed(0)
    model, pixels = make().bfloat16(), torch.rand(2, 3, 5, 16, 16) * 2 - 1
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = [p.clone() for p in model.parameters()]
    for _ in range(2):
        reconstruction, posterior = model(pixels)
        loss = (reconstruction.float() - pixels).square().mean() + 1e-3 * posterior.kl()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    assert all(p.dtype == torch.bfloat16 for p in model.parameters())
    assert any(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert model.num_updates == 2
    for statistic in (model.latent_mean, model.latent_square):
        assert statistic.dtype == torch.float32
        assert not torch.equal(statistic, statistic.bfloat16().float())
    assert model.decode(model.encode(pixels)).isfinite().all()


def test_decoding_refuses_latents_of_another_model():
    with pytest.raises(ValueError, match=r"latents must be \(b, 4, f, h, w\) .* got \(1, 1, 2"):
        small([(2, 4, 4)]).decode(torch.zeros(1, 1, 2, 3, 3))


@pytest.mark.parametrize("cls", [CausalKL, FSQ])
@pytest.mark.parametrize(
    "settings",
    [
        {"width": [8, 8]}, {"depth": 0}, {"folds": [(0, 4, 4)]}, {"folds": []},
        {"depth": [1, 1]}, {"decoder_depth": [2, 0]},
    ],
    ids=str,
)  # fmt: skip
def test_refuses_impossible_settings(cls, settings):
    with pytest.raises(ValueError, match="a causal autoencoder needs"):
        cls(**settings)


def test_refuses_no_channels():
    with pytest.raises(ValueError, match="latent_channels must be at least 1, got 0"):
        CausalKL(latent_channels=0)
