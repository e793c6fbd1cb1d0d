"""Condition dropout: by name, of all together, and what it draws."""

import pytest
import torch

from vidiff.training.diffusion.dropout import Dropout

NUM = 20_000


def shares(dropout):
    """The share of clips that lose each condition."""
    torch.manual_seed(0)
    return {name: float(lost.float().mean()) for name, lost in dropout.draw(NUM).items()}


def test_a_number_draws_once_a_step_for_one_condition():
    """What a seed drew when there was nothing but captions, it draws still."""
    torch.manual_seed(3)
    expected, after = torch.rand(8) < 0.3, torch.get_rng_state()
    torch.manual_seed(3)
    drawn = Dropout(0.3, ["text"]).draw(8)
    assert list(drawn) == ["text"]
    assert torch.equal(drawn["text"], expected)
    assert torch.equal(torch.get_rng_state(), after)
    assert 0 < expected.sum() < 8


def test_a_number_is_for_each_condition_by_itself():
    dropout = Dropout(0.2, ["text", "frames"])
    assert shares(dropout) == pytest.approx({"text": 0.2, "frames": 0.2}, abs=0.02)
    drawn = dropout.draw(NUM)
    both = (drawn["text"] & drawn["frames"]).float().mean()
    assert float(both) == pytest.approx(0.04, abs=0.01)


def test_shares_by_name_leave_the_others_alone():
    dropout = Dropout({"text": 0.3, "frames": 1.0}, ["text", "frames", "label"])
    expected = {"text": 0.3, "frames": 1.0, "label": 0.0}
    assert shares(dropout) == pytest.approx(expected, abs=0.02)
    assert dropout.draw(2).keys() == expected.keys()


def test_all_drops_all_conditions_of_a_clip():
    dropout = Dropout({"all": 0.4}, ["text", "frames"])
    drawn = dropout.draw(NUM)
    assert torch.equal(drawn["text"], drawn["frames"])
    assert float(drawn["text"].float().mean()) == pytest.approx(0.4, abs=0.02)
    with_one = Dropout({"all": 0.4, "text": 0.5}, ["text", "frames"])
    assert shares(with_one) == pytest.approx({"text": 0.7, "frames": 0.4}, abs=0.02)


@pytest.mark.parametrize("share", [0.1, 1.0, {}, {"all": 1.0}])
def test_without_conditions_nothing_is_drawn(share):
    before = torch.get_rng_state()
    assert Dropout(share, []).draw(4) == {}
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", [None, "text", "all"])
def test_a_share_out_of_range_is_refused(share, name):
    with pytest.raises(ValueError, match=r"condition_dropout must be within \[0, 1\], got "):
        Dropout({name: share} if name else share, ["text"])


def test_an_unknown_name_is_refused_with_the_nearest_and_all_known():
    message = (
        r"^condition_dropout: no condition is called 'txt', did you mean 'text'\?; there are text, "
        "frames, and 'all'$"
    )
    with pytest.raises(ValueError, match=message):
        Dropout({"txt": 0.1}, ["text", "frames"])
    with pytest.raises(ValueError, match="no condition is called 'text'; there are none"):
        Dropout({"text": 0.1}, [])
