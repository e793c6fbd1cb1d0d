"""A condition that is not text: the mean colour of a clip.

One file is a plugin: ``vidiff fit --plugins plugins/mean_colour.py -c CONFIG
--model.conditions.colour mean_colour``, then ``vidiff sample … --inputs '{colour: [1, 0, 0]}'``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vidiff.conditions import Condition
from vidiff.registry import register
from vidiff.types import Inputs, Signal, SignalDims

__all__ = ["MeanColour"]


@register("mean_colour")
class MeanColour(Condition):
    """The mean of a clip's pixels: that of the clip in training, ``colour`` in sampling.

    A vector of red, green and blue in [0, 1], and a one that tells it from no colour at all.
    """

    reads = ("colour", "video")
    optional = ("colour", "video")
    dims = SignalDims(vector=4)
    frozen = True

    def signal(self, inputs: Inputs) -> Signal:
        colour, video = inputs.get("colour"), inputs.get("video")
        if colour is None and video is None:
            return self.empty(inputs)
        if colour is None:
            colour = (video.mean((2, 3, 4)) + 1) / 2
        return Signal(vector=torch.cat([colour, torch.ones_like(colour[:, :1])], dim=1))

    def empty(self, inputs: Inputs) -> Signal:
        tensors = [value for value in inputs.values() if isinstance(value, Tensor)]
        count = len(tensors[0]) if tensors else len(inputs["caption"])
        device = tensors[0].device if tensors else None
        return Signal(vector=torch.zeros(count, 4, device=device))
