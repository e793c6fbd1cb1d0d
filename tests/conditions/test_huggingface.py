"""Signals of pretrained text encoders are what transformers gives, for every class of encoder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from small_encoders import NAMES, model, save, tokenizer
from torch import Tensor

from vidiff.conditions import HuggingFace
from vidiff.testing import check_component
from vidiff.types import SignalDims

SHORT, LONG = "red square", "a red square moves left"
PROMPTS = [SHORT, LONG, ""]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("encoders")
    return {name: save(root / name, name) for name in NAMES}


def reference(name: str, prompt: str, **settings: Any) -> Any:
    """What a class of transformers gives for one prompt, without any padding."""
    # Decoders have no token for an empty prompt, which then is what a text begins with.
    ids = tokenizer(name)([prompt])["input_ids"]
    ids = ids if ids[0] else [[2]]
    with torch.no_grad():
        return model(name)(input_ids=torch.tensor(ids), **settings)


def close(found: Tensor, expected: Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_tokens_and_vectors_are_those_of_transformers(name: str, folders) -> None:
    """Each prompt by itself, and all together, though their lengths differ."""
    encoder = HuggingFace(folder=str(folders[name]), pooled="mean")
    together = encoder({"caption": PROMPTS})
    assert encoder.dims == SignalDims(vector=16, tokens=16)
    for row, prompt in enumerate(PROMPTS):
        expected = reference(name, prompt).last_hidden_state[0]
        alone = encoder({"caption": [prompt]})
        close(alone.tokens[0], expected)
        close(alone.vector[0], expected.mean(0))
        assert alone.mask.all()
        assert together.mask[row].sum() == len(expected)
        close(together.tokens[row, : len(expected)], expected, 1e-5)
        close(together.vector[row], expected.mean(0), 1e-5)
    assert not together.tokens[~together.mask].any()


@pytest.mark.parametrize("name", NAMES)
def test_any_layer_is_that_of_transformers(name: str, folders) -> None:
    states = reference(name, LONG, output_hidden_states=True).hidden_states
    assert len(states) == 3
    for layer in (0, 1, -1, -2):
        encoder = HuggingFace(folder=str(folders[name]), layer=layer)
        close(encoder.read([LONG]).tokens[0], states[layer][0])
    for layer in (3, -4):
        with pytest.raises(ValueError, match=rf"layer {layer} is not .* 0 to 2, or -3 to -1 from"):
            HuggingFace(folder=str(folders[name]), layer=layer)


@pytest.mark.parametrize(
    ("name", "key", "width"),
    [
        ("clip", "pooler_output", 16),
        ("clip_projection", "text_embeds", 8),
        ("bert", "pooler_output", 16),
    ],
)
def test_the_model_s_own_vector(name: str, key: str, width: int, folders) -> None:
    encoder = HuggingFace(folder=str(folders[name]), pooled="model", tokens=False)
    assert encoder.dims == SignalDims(vector=width)
    signal = encoder.read(PROMPTS)
    assert signal.tokens is None
    assert signal.mask is None
    for row, prompt in enumerate(PROMPTS):
        close(signal.vector[row], reference(name, prompt)[key][0], 1e-5)


@pytest.mark.parametrize("name", ["t5", "umt5", "qwen2", "gemma2"])
def test_a_vector_that_the_model_does_not_have_is_refused(name: str, folders) -> None:
    with pytest.raises(ValueError, match=r"pooled: model, and the \w+ in .* set pooled to mean, f"):
        HuggingFace(folder=str(folders[name]), pooled="model")


def test_other_ways_to_pool(folders) -> None:
    states = [reference("qwen2", prompt).last_hidden_state[0] for prompt in PROMPTS]
    for pooled, place in (("first", 0), ("last", -1)):
        vector = HuggingFace(folder=str(folders["qwen2"]), pooled=pooled).read(PROMPTS).vector
        for row, expected in enumerate(states):
            close(vector[row], expected[place], 1e-5)
    encoder = HuggingFace(folder=str(folders["qwen2"]), pooled="none")
    assert encoder.dims == SignalDims(tokens=16)
    assert encoder.read(PROMPTS).vector is None


def test_pooling_is_read_from_the_folder(folders, tmp_path: Path) -> None:
    pooled = {name: HuggingFace(folder=str(folders[name])).pooled for name in NAMES}
    own = {"clip", "clip_projection"}
    assert pooled == {name: "model" if name in own else "mean" for name in NAMES}
    sentences = save(tmp_path / "sentences", "bert")
    (sentences / "1_Pooling").mkdir()
    (sentences / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}'
    )
    (sentences / "sentence_bert_config.json").write_text('{"max_seq_length": 4}')
    encoder = HuggingFace(folder=str(sentences))
    assert encoder.pooled == "first"
    assert encoder.reader.limit == 4


def test_fixed_length_with_each_mask(folders) -> None:
    """As pipelines do: LTX (both), Wan (encoder), SD3 and CogVideoX (none)."""
    fixed = {"folder": str(folders["t5"]), "padding": "max_length", "max_length": 9}
    ids = torch.zeros(1, 9, dtype=torch.long)
    ids[0, :3] = torch.tensor(tokenizer("t5")(SHORT)["input_ids"])
    t5, real = model("t5"), (ids != 0).long()
    with torch.no_grad():
        masked = t5(input_ids=ids, attention_mask=real).last_hidden_state
        unmasked = t5(input_ids=ids).last_hidden_state
    zeroed = masked * real.unsqueeze(-1)
    assert (masked - unmasked).abs().max() > 0.01
    for mask, tokens, shown in (("both", zeroed, 3), ("encoder", zeroed, 9), ("none", unmasked, 9)):
        signal = HuggingFace(**fixed, mask=mask).read([SHORT])
        assert signal.mask.sum() == shown
        close(signal.tokens, tokens)
        close(signal.vector, tokens[:, :3].mean(1))


@pytest.mark.parametrize("mask", ["both", "encoder", "none"])
@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_promises_of_a_condition(name: str, mask: str, folders) -> None:
    length = 24 if name == "qwen2" else 10  # its tokens are letters
    padding = {} if mask == "both" else {"padding": "max_length", "max_length": length}
    check_component("condition", "huggingface", folder=str(folders[name]), mask=mask, **padding)


@pytest.mark.parametrize("layer", [None, 1])
@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_them_when_it_is_trained(name: str, layer: int | None, folders) -> None:
    """Among them that a gradient reaches each weight that is not frozen."""
    folder = str(folders[name])
    check_component("condition", "huggingface", folder=folder, frozen=False, layer=layer)


def test_a_template_stands_around_each_prompt_and_its_beginning_is_cropped(folders) -> None:
    encoder = HuggingFace(folder=str(folders["t5"]), template="video : {} of", crop=2)
    for prompt in (LONG, "", "{} red"):
        text = f"video : {prompt} of"
        expected = reference("t5", text).last_hidden_state[0, 2:]
        close(encoder.read([prompt]).tokens[0], expected)
    for template in ("video", "{} and {}"):
        with pytest.raises(ValueError, match=r"must have \{\} once"):
            HuggingFace(folder=str(folders["t5"]), template=template)
    with pytest.raises(ValueError, match=r"crop is 4, and an empty prompt .* has 4 tokens"):
        HuggingFace(folder=str(folders["t5"]), template="video : {} of", crop=4)


def test_long_prompts_are_cut_with_one_warning_that_shows_what_is_lost(folders) -> None:
    encoder = HuggingFace(folder=str(folders["clip"]))
    assert encoder.reader.limit == 12
    long = " ".join(["red"] * 10 + ["green", "left", "circle"])
    with pytest.warns(UserWarning, match=r"13 tokens is cut to the 11 .* out: 'left circle'"):
        found = encoder.read([LONG, long])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(encoder.read([long]).tokens[0], found.tokens[1])
        fits = " ".join(["red"] * 11)
        HuggingFace(folder=str(folders["clip"])).read([fits])
    kept = " ".join(long.split()[:11])
    close(found.tokens[1], reference("clip", kept).last_hidden_state[0])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_its_precision_is_its_own(dtype: str, folders) -> None:
    encoder = HuggingFace(folder=str(folders["bert"]), dtype=dtype)
    wanted = getattr(torch, dtype)
    half = encoder.read([LONG])
    assert half.tokens.dtype == half.vector.dtype == wanted
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encoder.read([LONG]).tokens, half.tokens)
        exact = HuggingFace(folder=str(folders["bert"])).read([LONG])
    assert exact.tokens.dtype == torch.float32
    close(exact.tokens[0], reference("bert", LONG).last_hidden_state[0])
    assert 0 < (half.tokens.float() - exact.tokens).abs().max() < 0.1


def test_few_prompts_are_remembered(folders, monkeypatch) -> None:
    plain, encoder = (HuggingFace(folder=str(folders["t5"]), remember=n) for n in (0, 2))
    encoded = []
    original = encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda p: encoded.append(list(p)) or original(p))
    for prompts in ([SHORT, LONG, SHORT], [LONG, SHORT], [""], [SHORT, LONG]):
        found, expected = encoder.read(prompts), plain.read(prompts)
        assert torch.equal(found.mask, expected.mask)
        close(found.tokens, expected.tokens, 1e-5)
        close(found.vector, expected.vector, 1e-5)
    assert encoded == [[SHORT, LONG], [""], [LONG]]
    assert len(encoder._memory) == 2


@pytest.mark.parametrize("remember", [0, 8])
def test_what_was_read_in_inference_mode_serves_training(remember: int, folders) -> None:
    """A validation may be the first that reads a prompt."""
    encoder = HuggingFace(folder=str(folders["bert"]), remember=remember)
    with torch.inference_mode():
        first = encoder.read([LONG]).tokens
    head = torch.nn.Linear(16, 1)
    tokens = encoder.read([LONG]).tokens
    head(tokens).sum().backward()
    assert torch.equal(tokens, first)
    close(head.weight.grad[0], tokens.sum((0, 1)), 1e-5)
