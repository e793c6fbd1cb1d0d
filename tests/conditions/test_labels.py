"""Class labels in the place of prompts."""

import pytest
import torch

from vidiff.conditions import Labels


def test_a_prompt_is_a_number_or_a_name_and_an_empty_one_is_no_class():
    numbered, named = Labels(5, 8), Labels(2, 8, names=["cat", "dog"])
    torch.testing.assert_close(numbered.read(["3", ""]).vector, numbered.table.weight[[3, 5]])
    features = named.read(["dog", "cat", ""])
    torch.testing.assert_close(features.tokens[:, 0], named.table.weight[[1, 0, 2]])
    assert features.mask.tolist() == [[True]] * 3
    torch.testing.assert_close(named.embed(torch.tensor([2])).vector, named.read([""]).vector)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"num_classes": 3, "names": ["a", "b"]}, "names must be 3 different names"),
        ({"num_classes": 2, "names": ["a", "a"]}, "got 2 of which 1 differ"),
    ],
)
def test_refuses_names_that_are_not_one_per_class(settings, message):
    with pytest.raises(ValueError, match=message):
        Labels(**settings)


def test_refuses_a_class_that_there_is_not():
    with pytest.raises(ValueError, match="no class is called 'dig', did you mean 'dog'"):
        Labels(2, 8, names=["cat", "dog"]).read(["dig"])
    with pytest.raises(ValueError, match=r"within \[0, 2\]"):
        Labels(2, 8).embed(torch.tensor([3]))
