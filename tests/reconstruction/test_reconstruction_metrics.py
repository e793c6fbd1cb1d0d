"""Measures of reconstructions against closed forms and other implementations."""

from functools import partial

import pytest
import torch
from scipy.ndimage import gaussian_filter

from vidiff.autoencoders import Codes, Gaussian
from vidiff.perceptual import Perceptual
from vidiff.reconstruction import (
    PSNR,
    SSIM,
    Codebook,
    Flicker,
    Latents,
    PerceptualDistance,
    Reconstruction,
)
from vidiff.reconstruction.codebook import MAX_CODES


def videos(pixels, reference, latents=None, posterior=None):
    latents = torch.zeros(len(pixels), 1, 1, 1, 1) if latents is None else latents
    return Reconstruction(pixels, reference, latents, posterior)


def scores(metric, *arguments, **more):
    return {
        k: v.item() for k, v in metric.summarise(metric.measure(videos(*arguments, **more))).items()
    }


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_psnr_is_a_mean_of_decibels():
    reference = torch.zeros(2, 3, 4, 8, 8)
    error = torch.tensor([0.2, 0.02]).view(2, 1, 1, 1, 1)  # a tenth and a hundredth of the peak
    assert scores(PSNR(), reference + error, reference)["psnr"] == pytest.approx(30, abs=1e-4)
    assert scores(PSNR(), reference, reference)["psnr"] == pytest.approx(100)


def test_ssim_of_black_and_white_is_that_of_the_formula():
    black, white = -torch.ones(1, 3, 2, 64, 64), torch.ones(1, 3, 2, 64, 64)
    c1 = 0.01**2  # variances are zero, one mean is zero
    assert scores(SSIM(), black, white)["ssim"] == pytest.approx(c1 / (1 + c1), rel=1e-3)


def test_ssim_is_that_of_the_definition_with_scipys_filter():
    reference = noise(2, 3, 2, 24, 20)
    pixels = (reference + 0.3 * noise(2, 3, 2, 24, 20).flip(3)).clamp(-1, 1)
    a, b = ((x.double().numpy() + 1) / 2 for x in (pixels, reference))

    def mean(x):  # 3.5 deviations are a window of 11 pixels; scipy's mirror is a reflection
        return gaussian_filter(x, (0, 0, 0, 1.5, 1.5), mode="mirror", truncate=3.5)

    c1, c2 = 0.01**2, 0.03**2
    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    expected = (2 * ma * mb + c1) * (2 * vab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert scores(SSIM(), pixels, reference)["ssim"] == pytest.approx(expected.mean(), abs=1e-5)


def test_ssim_refuses_frames_that_it_cannot_reflect():
    assert scores(SSIM(), noise(1, 3, 1, 6, 6), noise(1, 3, 1, 6, 6))["ssim"] == pytest.approx(1)
    with pytest.raises(ValueError, match="at least 6 x 6 pixels, got 5 x 8: leave it out"):
        scores(SSIM(), noise(1, 3, 1, 5, 8), noise(1, 3, 1, 5, 8))


def test_flicker_counts_change_alone_and_shows_a_frozen_video():
    reference = torch.linspace(-1, 1, 5).view(1, 1, 5, 1, 1).expand(1, 3, 5, 4, 4)
    brighter = scores(Flicker(), reference + 0.1, reference)
    assert brighter["flicker"] == pytest.approx(0, abs=1e-4)
    assert brighter["frame_change"] == pytest.approx(0.5 * 127.5, rel=1e-5)
    frozen = scores(Flicker(), torch.zeros_like(reference), reference)
    assert frozen["flicker"] == pytest.approx(0.5 * 127.5, rel=1e-5)
    assert frozen["frame_change"] == 0
    assert frozen["frame_change_reference"] == pytest.approx(0.5 * 127.5, rel=1e-5)
    blinking = reference.clone()
    blinking[:, :, 1::2] += 0.2  # on, off, on, off: each of four changes is off by 0.2
    assert scores(Flicker(), blinking, reference)["flicker"] == pytest.approx(25.5, rel=1e-5)


def test_flicker_leaves_single_frames_out():
    metric, still = Flicker(), noise(3, 3, 1, 8, 8)
    moving = noise(2, 3, 4, 8, 8)
    alone, beside = (metric.measure(videos(x, x.flip(0))) for x in (moving, still))
    together = metric.summarise({name: alone[name] + beside[name] for name in alone})
    assert together == metric.summarise(alone)
    with pytest.warns(UserWarning, match="no video has two frames"):
        assert metric.summarise(beside) == {}


def test_latents_are_described_as_a_whole_and_by_the_worst_channel():
    generator = torch.Generator().manual_seed(0)
    scale, shift = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([0.0, -3.0, 1.0])
    latents = torch.randn(4, 3, 2, 6, 6, generator=generator)
    latents = latents * scale.view(-1, 1, 1, 1) + shift.view(-1, 1, 1, 1)
    pixels = torch.zeros(4, 3, 1, 8, 8)
    found = scores(Latents(), pixels, pixels, latents=latents)
    channels = latents.double().transpose(0, 1).flatten(1)
    deviations = channels.std(1, correction=0)
    assert found == {
        "latent_mean": pytest.approx(channels.mean().item()),
        "latent_std": pytest.approx(channels.std(correction=0).item()),
        "latent_mean_worst": pytest.approx(channels[1].mean().item()),
        "latent_std_min": pytest.approx(deviations[0].item()),
        "latent_std_max": pytest.approx(deviations[2].item()),
    }


def codes(indices, num_codes):
    return Codes(torch.zeros(1, 1, *indices.shape[1:]), indices, num_codes)


def test_codebook_use():
    pixels = torch.zeros(1, 3, 1, 8, 8)
    half = codes(torch.arange(8).view(1, 2, 2, 2), 16)
    assert scores(Codebook(), pixels, pixels, posterior=half) == {
        "codebook_usage": 0.5, "codebook_perplexity": pytest.approx(8),
    }  # fmt: skip
    one = codes(torch.full((1, 2, 2, 2), 5), 16)
    assert scores(Codebook(), pixels, pixels, posterior=one) == {
        "codebook_usage": 1 / 16, "codebook_perplexity": pytest.approx(1),
    }  # fmt: skip


def test_codebook_of_what_has_none_or_too_large_a_one():
    pixels = torch.zeros(1, 3, 1, 8, 8)
    latents = torch.zeros(1, 1, 1, 1, 1)
    assert Codebook().measure(videos(pixels, pixels, posterior=Gaussian(latents, latents))) == {}
    large = codes(torch.zeros(1, 2, 2, 2, dtype=torch.long), MAX_CODES + 1)
    with pytest.warns(UserWarning, match="1048577 codes are more than 1048576"):
        assert Codebook().measure(videos(pixels, pixels, posterior=large)) == {}


class Brightness(Perceptual):
    def forward(self, pixels, reference):
        return (pixels - reference).mean((1, 2, 3, 4))


class Named(Brightness):
    variant = "bright-2"


def test_a_perceptual_distance_is_called_by_its_variant():
    reference = torch.zeros(2, 3, 1, 8, 8)
    pixels = reference + torch.tensor([1.0, 0.5]).view(2, 1, 1, 1, 1)
    assert scores(PerceptualDistance(distance=Brightness), pixels, reference) == {
        "perceptual": 0.75
    }
    metric = PerceptualDistance(distance=partial(Named))
    assert scores(metric, pixels, reference) == {"bright-2": 0.75}
