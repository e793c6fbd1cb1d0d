"""Features refuse clips of another type, shape or range than they are made for."""

from __future__ import annotations

import warnings

import pytest
import torch
from accumulated import Means
from torch import Tensor

CLIPS = torch.rand(2, 3, 4, 8, 8) * 2 - 1


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        (((CLIPS + 1) * 127.5).to(torch.uint8), "got torch.uint8: bytes become them by"),
        (CLIPS[0], r"five axes, b, 3 channels, f, h, w; got the shape \(3, 4, 8, 8\)"),
        (CLIPS.transpose(1, 2), r"axis 1 of clips is the 3 channels.*; axis 2 has 3: permute it"),
        (CLIPS[:, :1], r"axis 1 of clips is the 3 channels, got the shape \(2, 1, 4, 8, 8\)$"),
        (CLIPS[:, :, :0], "clips are empty along axis f"),
        ((CLIPS + 1) * 127.5, "clips are in .-1, 1., got values from"),
        (CLIPS * float("nan"), "got values from nan"),
    ],
)
def test_other_clips_are_refused(clips: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Means()(clips)


def test_clips_that_look_like_those_in_0_to_1_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="if they are in .0, 1., give 2 . clips - 1"):
        Means()((CLIPS + 1) / 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for clips in (CLIPS, torch.ones_like(CLIPS), -torch.ones_like(CLIPS)):
            assert Means()(clips).shape == (2, 6)
