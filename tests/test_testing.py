"""The conformance checks find what they are for: each of these components breaks one promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from vidiff.attention import Full
from vidiff.conditioning import AdaLN, Context
from vidiff.conditions import Words
from vidiff.data import MovingShapes
from vidiff.denoisers import DiT
from vidiff.diffusion.predictions import Denoised, Flow
from vidiff.diffusion.schedules import Rectified
from vidiff.guidance import ClassifierFree, Steered
from vidiff.patchifiers import Tubelet
from vidiff.positions import Layout
from vidiff.registry import get_kind, register
from vidiff.samplers import Euler
from vidiff.testing import check_component
from vidiff.types import Signal, SignalDims, Signals, VideoSample


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    kinds = ("attention", "schedule", "prediction", "sampler", "dataset", "patchifier")
    for kind in (*kinds, "condition", "conditioning", "denoiser", "guidance"):
        get_kind(kind).components.pop("broken", None)


def broken(kind: str, cls: type, said: str) -> None:
    register("broken")(cls)
    with pytest.raises(AssertionError, match=said):
        check_component(kind, "broken")


def test_attention_that_sees_padding() -> None:
    class Broken(Full):
        """Ignores the mask."""

        def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None):
            return super().mix(q, k, v, layout, None)

    broken("attention", Broken, "attend to what the mask leaves out")


def test_a_parameter_that_no_gradient_reaches() -> None:
    class Broken(Full):
        """Has a weight that it never uses."""

        def __init__(self, **sizes: int) -> None:
            super().__init__(**sizes)
            self.unused = nn.Parameter(torch.ones(3))

    broken("attention", Broken, "no gradient reaches unused")


def test_a_state_that_is_not_saved() -> None:
    class Broken(Full):
        """Draws something that is no part of its state."""

        def __init__(self, **sizes: int) -> None:
            super().__init__(**sizes)
            self.gain = float(torch.rand(()))

        def mix(self, q: Tensor, k: Tensor, v: Tensor, layout: Layout, mask: Tensor | None):
            return self.gain * super().mix(q, k, v, layout, mask)

    broken("attention", Broken, "a loaded state gives other outputs")


def test_a_wrong_shape() -> None:
    class Broken(Tubelet):
        """Loses a channel."""

        def unembed(self, tokens: Tensor, grid: tuple[int, int, int]) -> Tensor:
            return super().unembed(tokens, grid)[:, 1:]

    broken("patchifier", Broken, r"latents must be \(2, 6, 4, 8, 8\), got \(2, 5,")


def test_a_wrong_derivative() -> None:
    class Broken(Rectified):
        """Its sigma does not grow as it says."""

        def sigma_derivative(self, t: Tensor) -> Tensor:
            return 2 * torch.ones_like(t)

    broken("schedule", Broken, "sigma_derivative is off by")


def test_a_target_that_is_not_what_is_read() -> None:
    class Broken(Flow):
        """Trains towards one thing and reads another."""

        def target(self, x0: Tensor, noise: Tensor, schedule: Rectified, t: Tensor) -> Tensor:  # type: ignore[override]
            return x0

    broken("prediction", Broken, "a right answer gives other latents")


def test_a_sampler_that_misses() -> None:
    class Broken(Euler):
        """Leaves out the last step."""

        def walk(self, denoise, latents, times, schedule, noise):  # type: ignore[no-untyped-def]
            return super().walk(denoise, latents, times[:-1], schedule, noise)

    broken("sampler", Broken, "given the answer at each step, it ends")


def test_a_sampler_that_only_reaches_what_it_has_to_make_up_itself() -> None:
    class Broken(Euler):
        """Loses its way where something is known."""

        def __call__(self, denoise, latents, schedule, noise, known=None):  # type: ignore[no-untyped-def]
            found = super().__call__(denoise, latents, schedule, noise, known)
            return found if known is None else known.put(0 * found)

    broken("sampler", Broken, "what is not known ends")


def test_a_condition_with_other_forms_than_it_says() -> None:
    class Broken(Words):
        """Promises channels."""

        @property
        def dims(self) -> SignalDims:  # type: ignore[override]
            return SignalDims(vector=self.text_dim, tokens=self.text_dim, channels=3)

    broken("condition", Broken, "dims has channels 3, and the signal has none")


def test_a_condition_that_is_not_dropped() -> None:
    class Broken(Words):
        """Reads every caption, also those to be dropped."""

        def forward(self, inputs, drop=None):  # type: ignore[no-untyped-def]
            return self.signal({"caption": ["a word", *inputs["caption"][1:]]})

    broken("condition", Broken, "a dropped clip is not unconditional")


def test_a_conditioning_that_has_one_time_for_all_frames() -> None:
    class Broken(AdaLN):
        """Takes the mean of the frames' times."""

        def prepare(self, time: Tensor, signals: Signals) -> Context:
            return super().prepare(time, signals).for_frames()

    broken("conditioning", Broken, "frames do not have times of their own")


def test_a_denoiser_that_ignores_channels() -> None:
    class Broken(DiT):
        """Zeros in the place of the conditions' channels."""

        def with_channels(self, latents: Tensor, signals: Signals) -> Tensor:
            return super().with_channels(latents, {"text": Signal()})

    broken("denoiser", Broken, "no gradient reaches|channels make no difference")


def test_a_guidance_whose_ends_do_not_make_up_the_noisy_latents() -> None:
    class Broken(ClassifierFree):
        """Guides the clean latents only."""

        def __call__(self, steered: Steered, x_t: Tensor, t: Tensor) -> Denoised:
            guided = super().__call__(steered, x_t, t)
            return Denoised(guided.x0, steered(x_t, t).noise, guided.variance)

    broken("guidance", Broken, "x0 and noise do not make up x_t")


def test_a_dataset_that_draws_anew_each_time() -> None:
    class Broken(MovingShapes):
        """Never gives the same clip twice."""

        def __getitem__(self, index: int) -> VideoSample:
            sample = super().__getitem__(index)
            return VideoSample(sample.pixels * float(torch.rand(())), sample.caption, sample.id)

    globals()["Broken"], Broken.__qualname__ = Broken, "Broken"  # so that it can be pickled
    broken("dataset", Broken, "the same index must give the same clip")


def test_an_argument_without_docs() -> None:
    class Broken(Full):
        """Says nothing about ``gain``."""

        def __init__(self, gain: float = 1.0, **sizes: int) -> None:
            super().__init__(**sizes)

    broken("attention", Broken, "no line under Args: for gain")
