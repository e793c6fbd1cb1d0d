"""Conditions in every form and several at once, for every way of conditioning and the U-Net."""

from dataclasses import replace

import pytest
import torch
from test_dit import awake, build, names_of

from vidiff.denoisers import UNet
from vidiff.types import Signal, SignalDims

SIZE = (3, 4, 4, 6)
DIMS = {
    "camera": SignalDims(vector=3),
    "motion": SignalDims(vector=4),  # a vector for each frame
    "text": SignalDims(vector=8, tokens=8),
    "words": SignalDims(tokens=5),
    "depth": SignalDims(channels=2),
}
USED = {
    "adaln": {"vector"},
    "adaln_single": {"tokens"},
    "adaln_zero": {"vector"},
    "cross_attention": {"tokens"},
    "in_context": {"tokens"},
    "joint": {"vector", "tokens"},
    "unet": {"vector", "tokens"},
}
"""Forms that are used of a condition that has both."""
NETWORKS = [*names_of("conditioning"), "unet"]


def network(name, dims):
    """With all parameters that start at zero drawn, so that nothing is hidden behind them."""
    torch.manual_seed(0)
    if name == "unet":
        settings = {"width": 8, "multipliers": [1, 2], "depth": 1, "num_heads": 2}
        return awake(UNet(in_channels=3, out_channels=3, signals=dims, **settings))
    return awake(build((name, "full", "sincos", "tubelet"), signals=dims))


def given(dims):
    signals = {
        "camera": Signal(vector=torch.randn(2, 3)),
        "motion": Signal(vector=torch.randn(2, SIZE[1], 4)),
        "text": Signal(torch.randn(2, 8), torch.randn(2, 3, 8), mask(2, 3)),
        "words": Signal(tokens=torch.randn(2, 4, 5), mask=mask(4, 1)),
        "depth": Signal(channels=torch.randn(2, 2, *SIZE[1:])),
    }
    return {name: signals[name] for name in dims}


def mask(*lengths):
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def inputs():
    return torch.randn(2, *SIZE), torch.tensor([10.0, 900.0])


def moved(signal):
    """The signal with other values for the second clip."""
    other = signal.map(lambda x: x if x.dtype == torch.bool else x + 1)
    return signal.replaced(other, torch.tensor([False, True]))


def usable(name):
    return {k: dims for k, dims in DIMS.items() if k != "words" or "tokens" in USED[name]}


@pytest.mark.parametrize("name", NETWORKS)
def test_several_conditions_are_heard_each_by_its_own_clip(name):
    model, signals = network(name, usable(name)), given(usable(name))
    output = model(*(data := inputs()), signals)
    output.square().mean().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    with torch.no_grad():
        for condition, signal in signals.items():
            without = {k: s for k, s in signals.items() if k != condition}
            assert not torch.allclose(model(*data, without), output, atol=1e-3), condition
            found = model(*data, {**signals, condition: moved(signal)})
            torch.testing.assert_close(found[0], output[0], atol=1e-5, rtol=1e-5)
            assert not torch.allclose(found[1], output[1], atol=1e-3), condition
        backwards = dict(reversed(signals.items()))  # the model's own order counts
        assert torch.equal(model(*data, backwards), output)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("condition", DIMS)
def test_each_form_alone_leaves_no_parameter_unused(name, condition):
    if condition not in usable(name):
        pytest.skip("refused, see below")
    dims = {condition: DIMS[condition]}
    model, data = network(name, dims), inputs()
    output = model(*data, given(dims))
    output.square().mean().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not torch.allclose(model(*data), output, atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_of_a_condition_with_vector_and_tokens_the_best_forms_are_used(name):
    dims = {"text": DIMS["text"]}
    model, text = network(name, dims), given(dims)["text"]
    text.vector.requires_grad_()
    text.tokens.requires_grad_()
    model(*inputs(), {"text": text}).square().mean().backward()
    found = {form for form in ("vector", "tokens") if getattr(text, form).grad is not None}
    assert found == USED[name]


@pytest.mark.parametrize("name", [n for n in NETWORKS if "tokens" not in USED[n]])
def test_a_form_that_a_conditioning_cannot_use_is_refused_with_those_that_can(name):
    cannot = r"condition 'words' has tokens only, which \w+ conditioning cannot use; these can: "
    with pytest.raises(ValueError, match=f"{cannot}adaln_single, cross_attention, in_context, joi"):
        network(name, DIMS)


def test_a_unet_without_attention_takes_what_has_more_than_tokens():
    settings = {"in_channels": 3, "out_channels": 3, "width": 8, "multipliers": [1, 2], "depth": 1}
    with pytest.raises(ValueError, match=r"'words' has tokens only, .* give attention_levels"):
        UNet(**settings, attention_levels=[], signals=DIMS)
    dims = {name: DIMS[name] for name in ("camera", "text")}
    model = awake(UNet(**settings, attention_levels=[], signals=dims))
    model(*inputs(), given(dims)).square().mean().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_that_are_missing_are_zeros(name):
    dims = {"depth": DIMS["depth"], "camera": DIMS["camera"]}
    model, signals, data = network(name, dims), given(dims), inputs()
    zeros = {**signals, "depth": replace(signals["depth"], channels=torch.zeros(2, 2, *SIZE[1:]))}
    assert torch.equal(model(*data, {"camera": signals["camera"]}), model(*data, zeros))
    assert not torch.equal(model(*data, signals), model(*data, zeros))


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_of_one_condition_does_not_matter_to_another(name):
    dims = usable(name)
    model, signals, data = network(name, dims), given(dims), inputs()
    padded = {
        k: s if s.mask is None else replace(
            s,
            tokens=torch.nn.functional.pad(s.tokens, (0, 0, 0, 2), value=3.0),
            mask=torch.nn.functional.pad(s.mask, (0, 2)),
        )
        for k, s in signals.items()
    }  # fmt: skip
    torch.testing.assert_close(model(*data, padded), model(*data, signals), atol=1e-5, rtol=1e-5)
