"""The convolutional networks of perceptual distances, down to their last ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BackboneName = Literal["alex", "vgg"]


class Backbone(nn.Module):
    """Stages of convolutions, each of which gives a feature map, down to a frame's ``min_size``."""

    def __init__(self, stages: list[nn.Sequential], min_size: int) -> None:
        super().__init__()
        self.stages, self.min_size = nn.ModuleList(stages), min_size
        last = [[m for m in stage if isinstance(m, nn.Conv2d)][-1] for stage in stages]
        self.channels = [conv.out_channels for conv in last]

    def convolutions(self) -> list[nn.Conv2d]:
        """All of them, in the order in which they run."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (n, 3, h, w) to the features of each stage, (n, c, h', w')."""
        features = []
        for stage in self.stages:
            images = stage(images)
            features.append(images)
        return features


class Blur(nn.Module):
    """Halves height and width behind a binomial filter, so that a shift of a pixel does little.

    Zhang 2019; padded by two reflected pixels on each side, as Ghildyal & Liu 2022 do.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(row, row).expand(channels, 1, 3, 3).contiguous()
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c, h // 2 + 1, w // 2 + 1)."""
        padded = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(padded, self.kernel.to(x.dtype), stride=2, groups=x.shape[1])


def alex(shift_tolerant: bool) -> Backbone:
    """AlexNet in one column (Krizhevsky 2014), or as Ghildyal & Liu 2022 changed it."""

    def pool(channels: int) -> list[nn.Module]:
        if shift_tolerant:
            return [nn.MaxPool2d(3, stride=1), Blur(channels)]
        return [nn.MaxPool2d(3, stride=2)]

    if shift_tolerant:
        first = [nn.Conv2d(3, 64, 11, padding=2), Blur(64), nn.ReLU()]
    else:
        first = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU()]
    stages = [
        nn.Sequential(*first),
        nn.Sequential(*pool(64), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
        nn.Sequential(*pool(192), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
    ]
    return Backbone(stages, min_size=21 if shift_tolerant else 31)


def vgg(shift_tolerant: bool) -> Backbone:
    """VGG-16 (Simonyan & Zisserman 2015), or as Ghildyal & Liu 2022 changed it."""
    stages, inputs = [], 3
    for stage, (outputs, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
        layers: list[nn.Module] = []
        if stage:
            layers = [nn.MaxPool2d(2)]
            if shift_tolerant:
                layers = [nn.MaxPool2d(2, stride=1), Blur(inputs)]
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        stages.append(nn.Sequential(*layers))
    return Backbone(stages, min_size=18 if shift_tolerant else 16)


BACKBONES: dict[BackboneName, Callable[[bool], Backbone]] = {"alex": alex, "vgg": vgg}
"""How each is built: plain, or tolerant of shifts."""
