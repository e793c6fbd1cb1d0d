from functools import partial

import pytest
import torch

from vidiff.autoencoders import CausalKL, Identity
from vidiff.denoisers import DiT
from vidiff.diffusion import Denoised, Objective
from vidiff.generation import clip_seed, generate, mix
from vidiff.patchifiers import Tubelet
from vidiff.samplers import DDIM, ClassifierFree, Euler
from vidiff.text import Words

PROMPTS = ["a red square moves left", "", "circle", "a very long prompt about a green star", "x"]


@pytest.fixture
def make():
    torch.manual_seed(0)
    text_encoder = Words(text_dim=16, depth=1, num_rows=64).eval()
    autoencoder = CausalKL(latent_channels=4, folds=[(2, 2, 2)], width=[8], depth=1).eval()
    denoiser = DiT(
        in_channels=4, out_channels=4, text_dim=16, width=32, depth=2, num_heads=2,
        patchifier=partial(Tubelet, patch_size=(1, 2, 2)),
    ).eval()  # fmt: skip
    for parameter in denoiser.parameters():  # maps that start at zero would hide the prompt
        torch.nn.init.normal_(parameter, std=0.1)
    return partial(
        generate, denoiser=denoiser, text_encoder=text_encoder, autoencoder=autoencoder,
        objective=Objective(), sampler=Euler(4), guidance=ClassifierFree(2.0), size=(3, 8, 8),
    )  # fmt: skip


@pytest.mark.parametrize("sampler", [Euler(4), DDIM(4, eta=1.0)])
def test_a_video_does_not_depend_on_those_beside_it(make, sampler):
    seeds = [clip_seed(0, i) for i in range(5)]
    together = make(prompts=PROMPTS, seeds=seeds, sampler=sampler)
    alone = torch.cat(
        [make(prompts=[p], seeds=[s], sampler=sampler) for p, s in zip(PROMPTS, seeds, strict=True)]
    )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_pixels_prompt_and_seed(make):
    videos = make(prompts=["red", "red", "blue"], seeds=[1, 2, 1])
    assert videos.shape == (3, 3, 3, 8, 8)
    assert videos.dtype == torch.float32
    assert videos.abs().max() <= 1
    assert (videos[0] - videos[1]).abs().mean() > 0.01  # another seed
    assert (videos[0] - videos[2]).abs().mean() > 1e-3  # another prompt
    torch.manual_seed(5)
    assert torch.equal(videos, make(prompts=["red", "red", "blue"], seeds=[1, 2, 1]))


def test_the_global_generator_is_left_alone(make):
    state = torch.get_rng_state()
    make(prompts=["x"], seeds=[0], sampler=DDIM(2, eta=1.0))
    assert torch.equal(state, torch.get_rng_state())


def test_exact_denoiser_gives_the_exact_video():
    """With a network that knows the answer, sampling must end at it, whatever the noise."""
    target = torch.linspace(-1, 1, 3 * 2 * 4 * 4).view(1, 3, 2, 4, 4)

    class Knows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x_t, t, text=None):
            t = (t / 1000).view(-1, 1, 1, 1, 1)
            return (x_t - target) / t  # the flow towards noise, noise - x_0

    videos = generate(
        denoiser=Knows(), text_encoder=None, autoencoder=Identity(), objective=Objective(),
        sampler=Euler(5), guidance=ClassifierFree(), prompts=["", ""], seeds=[0, 1], size=(2, 4, 4),
    )  # fmt: skip
    torch.testing.assert_close(videos, target.expand(2, -1, -1, -1, -1), rtol=0, atol=5e-3)


def test_half_precision_weights(make):
    make.keywords["denoiser"].bfloat16()
    make.keywords["text_encoder"].bfloat16()
    make.keywords["autoencoder"].bfloat16()
    assert make(prompts=["x"], seeds=[0]).isfinite().all()


def test_decoding_in_parts(make):
    """Chunks change nothing; tiles change what is near their seams, and nothing else."""
    make = partial(make, prompts=["red"], seeds=[1], size=(5, 24, 8))
    whole = make()
    torch.testing.assert_close(make(decode_frames=1), whole, rtol=0, atol=1e-4)
    tiled = make(decode_tile=8)  # 12 latents high: tiles 0..8 and 4..12
    torch.testing.assert_close(make(decode_tile=8, decode_frames=2), tiled, rtol=0, atol=1e-4)
    assert (tiled - whole).abs().max() > 1e-4
    torch.testing.assert_close(tiled[..., :8, :], whole[..., :8, :], rtol=0, atol=1e-4)
    torch.testing.assert_close(tiled[..., 16:, :], whole[..., 16:, :], rtol=0, atol=1e-4)


def test_each_prompt_needs_a_seed(make):
    with pytest.raises(ValueError, match="2 prompts need as many seeds, got 1"):
        make(prompts=["a", "b"], seeds=[0])


def test_seeds_do_not_collide():
    seeds = {clip_seed(seed, index) for seed in range(50) for index in range(50)}
    assert len(seeds) == 2500
    assert mix(1, 2) != mix(2, 1)


class Asked(ClassifierFree):
    """Guidance with a contrast of its own."""

    def contrast(self, prompts, latents, schedule):
        assert prompts == ["x", "y"]
        assert latents.shape == (2, 4, 2, 4, 4)
        return lambda x_t, t: Denoised(torch.zeros_like(x_t), torch.zeros_like(x_t))


@pytest.mark.parametrize(
    ("guidance", "read"),
    [
        (ClassifierFree(1.0), [["x", "y"]]),
        (ClassifierFree(2.0), [["x", "y"], ["", ""]]),
        (ClassifierFree(2.0, interval=(0.0, 0.1)), [["x", "y"]]),
        (Asked(2.0), [["x", "y"]]),
    ],
)
def test_the_empty_prompt_is_read_once_and_only_if_guidance_asks(make, guidance, read):
    found, text_encoder = [], make.keywords["text_encoder"]

    def counted(prompts):
        found.append(list(prompts))
        return text_encoder(prompts)

    videos = make(prompts=["x", "y"], seeds=[0, 1], guidance=guidance, text_encoder=counted)
    assert videos.isfinite().all()
    assert found == read
