from functools import partial

import pytest
import torch

from vidiff.autoencoders import CausalKL, Identity
from vidiff.conditions import Frames, Words
from vidiff.denoisers import DiT
from vidiff.diffusion import Denoised, Objective
from vidiff.generation import generate
from vidiff.guidance import ClassifierFree, Guidance
from vidiff.model import Factories, Model
from vidiff.patchifiers import Tubelet
from vidiff.samplers import DDIM, Euler
from vidiff.seeds import clip_seed, mix
from vidiff.types import Known

PROMPTS = ["a red square moves left", "", "circle", "a very long prompt about a green star", "x"]


def build(**conditions):
    torch.manual_seed(0)
    factories = Factories(
        autoencoder=partial(CausalKL, latent_channels=4, folds=[(2, 2, 2)], width=[8], depth=1),
        conditions={"text": partial(Words, text_dim=16, depth=1, num_rows=64), **conditions},
        denoiser=partial(
            DiT, width=32, depth=2, num_heads=2, patchifier=partial(Tubelet, patch_size=(1, 2, 2))
        ),
    )
    model = Model.build(factories).eval()
    for parameter in model.denoiser.parameters():  # maps that start at zero would hide the prompt
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def videos_of(model, prompts, seeds, size=(3, 8, 8), **settings):
    defaults = {"sampler": Euler(4), "guidance": ClassifierFree(2.0)}
    inputs = {"caption": prompts, **settings.pop("inputs", {})}
    return generate(model, inputs, size=size, seeds=seeds, **{**defaults, **settings})


@pytest.fixture
def make():
    return partial(videos_of, build())


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

        def forward(self, x_t, t, signals=None):
            t = (t / 1000).view(-1, 1, 1, 1, 1)
            return (x_t - target) / t  # the flow towards noise, noise - x_0

    model = Model(Identity(), torch.nn.ModuleDict(), Knows(), Objective())
    videos = generate(
        model, {}, sampler=Euler(5), guidance=ClassifierFree(), seeds=[0, 1], size=(2, 4, 4)
    )
    torch.testing.assert_close(videos, target.expand(2, -1, -1, -1, -1), rtol=0, atol=5e-3)


def test_half_precision_weights(make):
    make.args[0].bfloat16()
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


class Asked(Guidance):
    """Guidance with a contrast of its own."""

    def __call__(self, steered, x_t, t):
        assert steered.inputs["caption"] == ["x", "y"]
        assert x_t.shape == (2, 4, 2, 4, 4)
        plain = steered(x_t, t)
        return Denoised(2 * plain.x0, 2 * plain.noise)


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
    found, encoder = [], make.args[0].conditions["text"]
    original = encoder.read

    def counted(prompts):
        found.append(list(prompts))
        return original(prompts)

    encoder.read = counted
    videos = make(prompts=["x", "y"], seeds=[0, 1], guidance=guidance)
    assert videos.isfinite().all()
    assert sorted(found) == sorted(read)


# -- What is known --------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 3])
def test_videos_go_on_from_an_image_or_from_frames(frames):
    model = build(frames=Frames)
    make, pixels = partial(videos_of, model, seeds=[1, 2]), torch.rand(2, 3, frames, 8, 8) * 2 - 1
    image = pixels.squeeze(2)
    latents = make(["red", "blue"], inputs={"image": image}, size=(5, 8, 8), decode=False)
    with torch.no_grad():
        first = model.autoencoder.encode(pixels)
    assert first.shape[2] == 1 + frames // 2
    assert torch.equal(latents[:, :, : first.shape[2]], first)
    other = make(["red", "blue"], inputs={"image": -image}, size=(5, 8, 8), decode=False)
    assert not torch.allclose(other[:, :, -1], latents[:, :, -1], atol=1e-3)
    free = make(["red", "blue"], size=(5, 8, 8), decode=False)
    assert not torch.allclose(free[:, :, -1], latents[:, :, -1], atol=1e-3)


def test_any_known_part_stays_as_it_is():
    model = build(frames=Frames)
    latents, mask = torch.randn(2, 4, 2, 4, 4), torch.zeros(2, 1, 2, 4, 4)
    mask[0, :, 1], mask[1, ..., :2] = 1, 1
    videos = videos_of(
        model, ["red", "blue"], [1, 2], inputs={"known": Known(latents, mask)}, decode=False
    )
    given = mask.expand_as(latents) > 0
    assert torch.equal(videos[given], latents[given])
    assert (videos[~given] != latents[~given]).all()


def test_an_image_is_refused_where_it_has_no_place():
    inputs = {"image": torch.zeros(1, 3, 8, 8)}
    with pytest.raises(ValueError, match="train it with a condition 'frames'"):
        videos_of(build(), ["red"], [0], inputs=inputs)
    with pytest.raises(ValueError, match=r"are 3 frames of 16 x 16, and begin with 1 of 8 x 8"):
        videos_of(build(frames=Frames), ["red"], [0], inputs=inputs, size=(3, 16, 16))


def test_a_condition_whose_input_is_missing_is_named():
    with pytest.raises(ValueError, match=r"'text' \(Words\) reads caption, .* given are none"):
        generate(
            build(), {}, sampler=Euler(1), guidance=ClassifierFree(), seeds=[0], size=(3, 8, 8)
        )
