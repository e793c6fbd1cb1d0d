"""The text encoder that is learned from scratch."""

import pytest
import torch

from vidiff.conditions import Words
from vidiff.conditions.words import split_words
from vidiff.data.shapes import COMBINATIONS
from vidiff.types import SignalDims


def small(**settings):
    torch.manual_seed(0)
    return Words(**{"text_dim": 16, "depth": 1, "num_heads": 2, **settings})


def test_features_do_not_depend_on_the_batch():
    encoder = small().eval()
    prompts = ["a red square moves left", "", "a blue circle that stays still, at night"]
    together = encoder({"caption": prompts})
    for i, prompt in enumerate(prompts):
        alone = encoder({"caption": [prompt]})
        length = alone.tokens.shape[1]
        torch.testing.assert_close(together.vector[i], alone.vector[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            together.tokens[i, :length], alone.tokens[0], atol=1e-5, rtol=1e-5
        )
        assert together.mask[i].sum() == length == len(split_words(prompt)) + 1


def test_an_empty_prompt_is_one_real_token():
    features = small().read([""])
    assert features.mask.tolist() == [[True]]
    assert features.tokens.shape == (1, 1, 16)


def test_order_and_words_matter_and_case_does_not():
    encoder = small().eval()
    vector = encoder.read(["red left", "left red", "blue left", "RED  left"]).vector
    assert not torch.allclose(vector[0], vector[1], atol=1e-4)
    assert not torch.allclose(vector[0], vector[2], atol=1e-4)
    torch.testing.assert_close(vector[0], vector[3])


def test_rows_are_the_same_on_every_machine():
    assert [Words(text_dim=4, num_heads=1).row(w) for w in ("red", "square")] == [8079, 2217]


@pytest.mark.parametrize("num_rows", [8192, 2048])
def test_the_words_of_moving_shapes_do_not_share_rows(num_rows):
    words = {word for c in COMBINATIONS for word in split_words(c.caption)}
    encoder = small(num_rows=num_rows)
    assert len({encoder.row(word) for word in words}) == len(words)


def test_words_never_met_are_named():
    encoder = small()
    encoder({"caption": ["a red square"]})
    encoder.eval()
    encoder({"caption": ["a green square"]})  # met in evaluation only
    assert encoder.unknown_words(["a red square", "a green cube"]) == ["cube", "green"]
    other = small()
    other.load_state_dict(encoder.state_dict())
    assert other.unknown_words(["a green square"]) == ["green"]


def test_long_prompts_are_cut():
    assert small(max_words=3).read(["one two three four five"]).tokens.shape[1] == 4


@pytest.mark.parametrize(
    "settings", [{"num_heads": 3}, {"depth": -1}, {"num_rows": 0}, {"max_words": 0}]
)
def test_refuses_impossible_sizes(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        small(**settings)


def test_a_dropped_caption_is_read_as_the_empty_one_and_each_clip_once():
    encoder, read = small().eval(), []
    inputs = {"caption": ["a red square", "a blue circle moves", "left"]}
    drop = torch.tensor([False, True, False])
    expected = encoder.signal(inputs).replaced(encoder.empty(inputs), drop)
    original = encoder.read
    encoder.read = lambda prompts: read.append(list(prompts)) or original(prompts)
    found = encoder(inputs, drop)
    assert read == [["a red square", "", "left"]]
    torch.testing.assert_close(found.vector, expected.vector, atol=1e-5, rtol=1e-5)
    longest = found.mask.shape[1]  # what was dropped needs no room
    assert torch.equal(found.mask, expected.mask[:, :longest])
    torch.testing.assert_close(
        found.tokens[found.mask], expected.tokens[expected.mask], atol=1e-5, rtol=1e-5
    )
    assert encoder.dims == SignalDims(vector=16, tokens=16)
