"""Guidance against its formulas, and autoguidance with real checkpoints."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import pytest
import torch

from vidiff.autoencoders import CausalKL
from vidiff.conditions import Words
from vidiff.denoisers import DiT
from vidiff.diffusion.predictions import Denoised
from vidiff.diffusion.schedules import Cosine, LinearBeta, Rectified
from vidiff.guidance import Autoguidance, ClassifierFree, Rescaled, Several, Steered
from vidiff.model import Model
from vidiff.patchifiers import Tubelet
from vidiff.registry import get_component, list_components
from vidiff.samplers import DDPM
from vidiff.training import AutoencoderTask, DiffusionTask
from vidiff.training.trainer import VidiffTrainer

SHAPE = (2, 4, 3, 4, 4)


class Asked:
    """In the place of a model: one estimate under all conditions, and one under fewer."""

    names = ("text",)

    def __init__(self, conditional, contrast):
        self.conditional, self.contrast, self.calls = conditional, contrast, []

    def __call__(self, x_t, t, without=()):
        self.calls.append(tuple(without))
        return (self.contrast if without else self.conditional)(x_t, t)

    def of(self, other):
        return lambda x_t, t: self.contrast(x_t, t)

    @property
    def counts(self):
        return self.calls.count(()), len(self.calls) - self.calls.count(())


def number(value):
    """An estimate that is one number."""
    return lambda x_t, t: Denoised(torch.full_like(x_t, value), torch.full_like(x_t, -value))


def says(x0, schedule=None, variance=None):
    """An estimate that is always this, and the noise that goes with it."""
    schedule = schedule or Rectified()

    def denoise(x_t, t):
        alpha, sigma = (f(t).view(-1, 1, 1, 1, 1) for f in (schedule.alpha, schedule.sigma))
        return Denoised(x0, (x_t - alpha * x0) / sigma, variance)

    return denoise


def make(name, scale=1.0, **settings):
    if name == "several":
        return get_component("guidance", name).cls(scales={"text": scale}, **settings)
    if name == "autoguidance":
        made = get_component("guidance", name).cls(checkpoint="none.ckpt", scale=scale, **settings)
        made.loaded.append(None)  # which ``Asked.of`` has no use for
        return made
    return get_component("guidance", name).cls(scale=scale, **settings)


@pytest.mark.parametrize(
    ("scale", "t", "expected", "asked"),
    [
        (1.0, 0.5, 2.0, (1, 0)),
        (0.0, 0.5, 1.0, (0, 1)),
        (3.0, 0.5, 4.0, (1, 1)),
        (3.0, 0.9, 2.0, (1, 0)),
    ],
)
def test_guidance_extrapolates_inside_its_interval_and_asks_no_more_than_needed(
    scale, t, expected, asked
):
    steered = Asked(number(2.0), number(1.0))
    guidance = ClassifierFree(scale=scale, interval=(0.1, 0.8))
    denoised = guidance(steered, torch.zeros(2, 1, 1, 1, 1), torch.full((2,), t))
    assert denoised.x0.unique().tolist() == [expected]
    assert denoised.noise.unique().tolist() == [-expected]
    assert steered.counts == asked


@pytest.mark.parametrize("name", list_components("guidance"))
def test_outside_the_interval_it_is_the_model_as_it_is(name):
    guidance = make(name, scale=3.0, interval=(0.1, 0.8))
    x, x0 = torch.randn(SHAPE), torch.randn(SHAPE)
    steered = Asked(says(x0), number(1.0))
    for t in (0.05, 0.85):
        assert torch.equal(guidance(steered, x, torch.full((2,), t)).x0, x0)
    assert steered.counts == (2, 0)
    assert not torch.equal(guidance(steered, x, torch.full((2,), 0.5)).x0, x0)


@pytest.mark.parametrize("name", list_components("guidance"))
@pytest.mark.parametrize("schedule", [Rectified(), Cosine(), LinearBeta()])
@pytest.mark.parametrize("t", [0.01, 0.5, 0.99])
def test_guided_x0_and_noise_make_up_the_noisy_latents(name, schedule, t):
    x, t, variance = torch.randn(SHAPE), torch.full((2,), t), torch.randn(SHAPE)
    with_prompt = says(torch.randn(SHAPE), schedule, variance)
    steered = Asked(with_prompt, says(torch.randn(SHAPE), schedule))
    guided = make(name, scale=3.0)(steered, x, t)
    mixed = schedule.alpha(t[0]) * guided.x0 + schedule.sigma(t[0]) * guided.noise
    torch.testing.assert_close(mixed, x, atol=1e-4, rtol=0)
    assert guided.variance is variance


@pytest.mark.parametrize("scale", [0.0, 4.0])
def test_only_the_first_channels_are_guided(scale):
    """DiT's and SiT's published sampling guides 3 of 4."""
    x, a, b, t = torch.randn(SHAPE), torch.randn(SHAPE), torch.randn(SHAPE), torch.full((2,), 0.5)
    guided = ClassifierFree(scale=scale, channels=3)(Asked(says(a), says(b)), x, t)
    plain = ClassifierFree(scale=scale)(Asked(says(a), says(b)), x, t)
    for found, all_guided, one in (
        (guided.x0, plain.x0, a),
        (guided.noise, plain.noise, says(a)(x, t).noise),
    ):
        assert torch.equal(found[:, :3], all_guided[:, :3])
        assert torch.equal(found[:, 3:], one[:, 3:])


def test_rescaled_follows_the_paper():
    """Lin et al. 2024, section 3.4, each clip by itself."""
    x, a, b, t = torch.randn(SHAPE), torch.randn(SHAPE), torch.randn(SHAPE), torch.full((2,), 0.5)
    a[1] *= 3
    guided = Rescaled(scale=7.5, phi=0.7)(Asked(says(a), says(b)), x, t).x0
    for clip in range(2):
        cfg = b[clip] + 7.5 * (a[clip] - b[clip])
        rescaled = cfg * a[clip].std() / cfg.std()
        torch.testing.assert_close(guided[clip], 0.7 * rescaled + 0.3 * cfg, rtol=1e-4, atol=1e-5)
    all_the_way = Rescaled(scale=7.5, phi=1.0)(Asked(says(a), says(b)), x, t).x0
    torch.testing.assert_close(all_the_way.flatten(1).std(1), a.flatten(1).std(1))
    plain = ClassifierFree(scale=7.5)(Asked(says(a), says(b)), x, t)
    not_at_all = Rescaled(scale=7.5, phi=0.0)(Asked(says(a), says(b)), x, t)
    torch.testing.assert_close(not_at_all.x0, plain.x0)
    torch.testing.assert_close(not_at_all.noise, plain.noise)


@pytest.mark.parametrize("name", list_components("guidance"))
def test_refuses_an_interval_outside_time(name):
    with pytest.raises(ValueError, match="interval"):
        make(name, interval=(0.5, 1.5))


@pytest.mark.parametrize(
    ("cls", "settings"), [(ClassifierFree, {"channels": 0}), (Rescaled, {"phi": 1.5})]
)
def test_refuses_settings_out_of_their_range(cls, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        cls(**settings)


# -- Several conditions, negative prompts ---------------------------------------------------------


class Sum:
    """A model whose x0 is the sum of a number for each condition that is on."""

    numbers: ClassVar = {"image": 1.0, "text": 10.0, "other": 100.0}
    names = tuple(numbers)

    def __call__(self, x_t, t, without=()):
        total = sum(value for name, value in self.numbers.items() if name not in without)
        return number(total)(x_t, t)


def test_several_follows_instruct_pix2pix():
    """Brooks et al. 2023, eq. 3, with a third condition that is always on."""
    x, t = torch.zeros(2, 1, 1, 1, 1), torch.full((2,), 0.5)
    guided = Several(scales={"image": 1.5, "text": 7.5})(Sum(), x, t)
    assert guided.x0.unique().tolist() == [100 + 1.5 * 1 + 7.5 * 10]
    assert guided.noise.unique().tolist() == [-(100 + 1.5 * 1 + 7.5 * 10)]
    assert Several(scales={"image": 1.0, "text": 1.0})(Sum(), x, t).x0.unique().tolist() == [111]
    only = ClassifierFree(scale=2.0, conditions=["text"])(Sum(), x, t)
    assert only.x0.unique().tolist() == [101 + 2 * 10]


@pytest.mark.parametrize(
    "guidance", [Several(scales={"tekst": 2.0}), ClassifierFree(2.0, conditions=["tekst"])]
)
def test_a_condition_that_the_model_lacks_is_refused_with_the_nearest(guidance):
    made = task(seed=0, guidance=lambda: guidance)
    with pytest.raises(ValueError, match="no condition 'tekst', did you mean 'text'"):
        made.sample(PROMPTS, num_steps=1, **SIZE)


def test_a_negative_prompt_stands_in_the_place_of_the_empty_one():
    made = task(seed=0, guidance=partial(ClassifierFree, scale=0.0))
    sample = partial(made.sample, num_steps=2, decode=False, **SIZE)
    assert torch.equal(
        sample(PROMPTS, negative_prompt="a blue circle"),
        sample(["a blue circle"] * 2, guidance_scale=1.0),
    )
    assert torch.equal(sample(PROMPTS), sample(["", ""], guidance_scale=1.0))
    own = task(seed=0, guidance=partial(ClassifierFree, scale=0.0, negative="a blue circle"))
    found = own.sample(PROMPTS, num_steps=2, decode=False, **SIZE)
    assert torch.equal(found, sample(PROMPTS, negative_prompt="a blue circle"))


def test_signals_are_computed_once_and_those_left_out_only_if_asked_for():
    made, asked = task(seed=0), []
    with made.averaged() as model:
        model.conditions["text"].register_forward_hook(lambda *call: asked.append(1))
        assert isinstance(model, Model)
        steered = Steered(model, {"caption": PROMPTS, "latent_shape": (3, 2, 8, 8)})
        x, t = torch.randn(2, 3, 2, 8, 8), torch.full((2,), 0.5)
        steered(x, t), steered(x, t)
        assert len(asked) == 1
        steered(x, t, ["text"]), steered(x, t, ["text"])
        assert len(asked) == 2


# -- Autoguidance -------------------------------------------------------------------------------

SIZE = {"num_frames": 2, "height": 8, "width": 8}
SMALL = {"num_heads": 2, "patchifier": partial(Tubelet, patch_size=(1, 4, 4))}


def task(seed, width=16, guidance=ClassifierFree, **settings):
    made = DiffusionTask(
        denoiser=partial(DiT, width=width, depth=1, **SMALL),
        conditions={"text": partial(Words, text_dim=8, depth=1, num_rows=16)},
        guidance=guidance, **settings,
    )  # fmt: skip
    made.configure_model()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.1)
    return made.eval()


def save(made, path):
    """What training would save, without the training."""
    trainer = VidiffTrainer(accelerator="cpu", logger=False, default_root_dir=path.parent)
    trainer.strategy.connect(made)
    made.trainer = trainer
    trainer.save_checkpoint(path)
    return str(path)


@pytest.fixture(scope="module")
def weaker(tmp_path_factory):
    made = task(seed=1, width=8)
    return made, save(made, tmp_path_factory.mktemp("weaker") / "weaker.ckpt")


PROMPTS = ["a red square moves left", ""]


def test_autoguidance_moves_away_from_the_weaker_model_under_the_same_prompt(weaker):
    weak, path = weaker
    guided = task(seed=0, guidance=partial(Autoguidance, checkpoint=path, scale=2.0))
    plain = task(seed=0)
    sample = partial(guided.sample, PROMPTS, num_steps=1, **SIZE)
    model = plain.sample(PROMPTS, num_steps=1, decode=False, **SIZE)
    contrast = weak.sample(PROMPTS, num_steps=1, decode=False, **SIZE)
    assert not torch.allclose(model, contrast, atol=0.1)
    # One Euler step ends at the estimate itself.
    torch.testing.assert_close(sample(decode=False), 2 * model - contrast, atol=1e-4, rtol=0)
    for scale, expected in ((1.0, model), (0.0, contrast), (3.0, 3 * model - 2 * contrast)):
        found = sample(guidance_scale=scale, decode=False)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert not any("loaded" in name for name in guided.state_dict())


def test_the_weaker_model_is_loaded_once_and_only_if_asked_for(weaker, monkeypatch):
    import vidiff.guidance.autoguidance as module

    loads, load = [], module.load_model

    def counted(path):
        loads.append(path)
        return load(path)

    monkeypatch.setattr(module, "load_model", counted)
    made = task(seed=0, guidance=partial(Autoguidance, checkpoint=weaker[1]))
    assert not loads
    for scale in (None, 1.5, 3.0):  # another scale is a copy of the guidance
        made.sample(PROMPTS, num_steps=2, batch_size=1, guidance_scale=scale, **SIZE)
    assert loads == [weaker[1]]


def test_autoguidance_keeps_a_learned_variance(tmp_path):
    settings = {"schedule": LinearBeta, "learn_variance": True, "sampler": partial(DDPM, 4)}
    path = save(task(seed=1, schedule=LinearBeta), tmp_path / "weaker.ckpt")
    made = task(seed=0, guidance=partial(Autoguidance, checkpoint=path), **settings)
    assert made.sample(PROMPTS, decode=False, **SIZE).isfinite().all()


def test_autoguidance_says_what_is_wrong_with_the_checkpoint(weaker, tmp_path):
    def sample(path, **settings):
        guidance = partial(Autoguidance, checkpoint=str(path))
        task(seed=0, guidance=guidance, **settings).sample(PROMPTS, num_steps=1, **SIZE)

    with pytest.raises(ValueError, match="does not exist"):
        sample(tmp_path / "none.ckpt")
    make_small = partial(CausalKL, latent_channels=4, folds=[(1, 2, 2)], width=[8], depth=1)
    other = AutoencoderTask(autoencoder=make_small)
    other.configure_model()
    with pytest.raises(ValueError, match=r"kl\.ckpt .*AutoencoderTask, which is no model"):
        sample(save(other, tmp_path / "kl.ckpt"))
    with pytest.raises(ValueError, match=r"have 3 channels, not 4$"):
        sample(weaker[1], autoencoder=make_small)
    with pytest.raises(ValueError, match="trained on Rectified, not on Cosine"):
        sample(weaker[1], schedule=Cosine)
