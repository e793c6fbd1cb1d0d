"""Causality, sizes and statistics of the video autoencoders."""

import pytest
import torch

from vidiff.autoencoders import CausalKL, Identity, Posterior

FOLDS = [[(2, 4, 4)], [(2, 2, 2), (2, 2, 2)], [(4, 8, 8)], [(1, 4, 4)]]


def small(folds, **settings):
    torch.manual_seed(0)
    model = CausalKL(latent_channels=4, folds=folds, width=[16] * len(folds), depth=1, **settings)
    for parameter in model.parameters():  # residual branches start at zero
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("folds", FOLDS, ids=str)
def test_sizes_follow_the_compression(folds):
    model = small(folds).eval()
    ct, ch, cw = model.compression
    pixels = torch.randn(2, 3, 1 + 2 * ct, 2 * ch, 3 * cw)
    latents = model.encode(pixels)
    assert latents.shape == (2, 4, 3, 2, 3) == (2, 4, *model.latent_size(*pixels.shape[2:]))
    assert model.decode(latents).shape == pixels.shape


@pytest.mark.parametrize("folds", FOLDS, ids=str)
def test_no_latent_frame_sees_later_pixels(folds):
    model = small(folds).eval()
    ct, ch, cw = model.compression
    pixels = torch.randn(1, 3, 1 + 3 * ct, ch, cw)
    for k in range(3):
        changed = pixels.clone()
        changed[:, :, 1 + k * ct :] += 1
        before, after = model.encode(pixels), model.encode(changed)
        torch.testing.assert_close(before[:, :, : k + 1], after[:, :, : k + 1])
        assert not torch.allclose(before[:, :, k + 1], after[:, :, k + 1], atol=1e-4)


@pytest.mark.parametrize("folds", FOLDS, ids=str)
def test_no_frame_sees_later_latents(folds):
    model = small(folds).eval()
    ct = model.compression[0]
    latents = torch.randn(1, 4, 3, 1, 1)
    changed = latents.clone()
    changed[:, :, 2] += 1
    before, after = model.decode(latents), model.decode(changed)
    torch.testing.assert_close(before[:, :, : 1 + ct], after[:, :, : 1 + ct])
    assert not torch.allclose(before[:, :, 1 + ct :], after[:, :, 1 + ct :], atol=1e-4)


@pytest.mark.parametrize("folds", FOLDS, ids=str)
def test_an_image_is_the_first_frame_of_a_video(folds):
    model = small(folds).eval()
    ct, ch, cw = model.compression
    video = torch.randn(1, 3, 1 + ct, ch, cw)
    torch.testing.assert_close(model.encode(video)[:, :, :1], model.encode(video[:, :, :1]))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((8, 16, 16), "8 frames do not fit .* of 4, .* nearest is 9"),
        ((9, 30, 16), "height 30 does not divide .* 4; .* is 32"),
        ((9, 16, 2), "width 2 does not divide .* 4; .* is 4"),
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
    model.eval()
    mean, std = model._statistics()
    normalised = (drawn - mean) / std
    assert normalised.mean((0, 2, 3, 4)).abs().max() < 0.1
    assert (normalised.std((0, 2, 3, 4)) - 1).abs().max() < 0.1
    pixels = torch.randn(1, 3, 3, 8, 8)
    torch.testing.assert_close(
        model.decode(model.encode(pixels)), model.reconstruct(model.posterior(pixels).mean)
    )


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
    torch.testing.assert_close(Posterior(mean, log_variance).kl(), reference.flatten(1).mean(1))


def test_identity_changes_nothing():
    pixels = torch.randn(1, 3, 2, 4, 4)
    model = Identity()
    assert model.encode(pixels) is pixels
    assert model.decode(pixels) is pixels
    with pytest.raises(TypeError, match="Identity has nothing to train"):
        model.posterior(pixels)


@pytest.mark.parametrize("settings", [{"width": [8, 8]}, {"depth": 0}, {"folds": [(0, 4, 4)]}])
def test_refuses_impossible_settings(settings):
    with pytest.raises(ValueError, match="causal_kl needs"):
        CausalKL(**settings)
