"""I3D, the network behind FVD (Carreira & Zisserman 2017; Unterthiner et al. 2018).

Inception blown up to three dimensions. To give the scores of the published network it pads as
TensorFlow does, divides by running statistics with an epsilon of 1e-3, and ends before the softmax
over Kinetics-400's classes. Names of weights are those of the usual copies for PyTorch, so that
their files load too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidiff.types import Grid

SIZE = 224
"""Height and width that it was trained on, in pixels."""

MIN_FRAMES = 9
"""Of fewer frames too little is left for its last pooling."""

NUM_FEATURES = 400

BATCH_NORM_EPS = 1e-3
"""TensorFlow's; most copies for PyTorch have 1e-5, with the same weights."""

STEM = {"Conv3d_1a_7x7": (3, 64, 7, 2), "Conv3d_2b_1x1": (64, 64, 1, 1)}
STEM["Conv3d_2c_3x3"] = (64, 192, 3, 1)
"""Inputs, outputs, width of the kernel and stride of the first convolutions."""

MIXED = {
    "Mixed_3b": (192, 64, 96, 128, 16, 32, 32),
    "Mixed_3c": (256, 128, 128, 192, 32, 96, 64),
    "Mixed_4b": (480, 192, 96, 208, 16, 48, 64),
    "Mixed_4c": (512, 160, 112, 224, 24, 64, 64),
    "Mixed_4d": (512, 128, 128, 256, 24, 64, 64),
    "Mixed_4e": (512, 112, 144, 288, 32, 64, 64),
    "Mixed_4f": (528, 256, 160, 320, 32, 128, 128),
    "Mixed_5b": (832, 256, 160, 320, 32, 128, 128),
    "Mixed_5c": (832, 384, 192, 384, 48, 128, 128),
}
"""Inputs of each block, then outputs of its convolutions, branch by branch."""

POOLS: dict[str, tuple[Grid, Grid]] = {
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
"""Size and stride of the pooling before a layer."""


class InceptionI3D(nn.Module):
    """Videos to the logits of Kinetics-400's 400 classes, the features of FVD."""

    def __init__(self) -> None:
        super().__init__()
        for name, sizes in STEM.items():
            self.add_module(name, Unit(*sizes))
        for name, channels in MIXED.items():
            self.add_module(name, Mixed(*channels))
        self.logits = nn.Module()
        self.logits.conv3d = nn.Conv3d(1024, NUM_FEATURES, 1)
        self.requires_grad_(False).eval()

    def set_batch_norm_eps(self, eps: float) -> None:
        """What is added to running variances, as a copy of the network has it."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eps = eps

    def forward(self, videos: Tensor) -> Tensor:
        """Videos (b, 3, f, 224, 224) in [-1, 1] to logits (b, 400), averaged over time."""
        assert videos.shape[-2:] == (SIZE, SIZE), "other sizes leave a map to average, not a logit"
        x = videos
        for name in (*STEM, *MIXED):
            if name in POOLS:
                x = max_pool(x, *POOLS[name])
            x = self.get_submodule(name)(x)
        logits = self.logits.get_submodule("conv3d")(F.avg_pool3d(x, (2, 7, 7), stride=1))
        return logits.mean((2, 3, 4))


class Unit(nn.Module):
    """Convolution, normalisation by running statistics, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, f, h, w), smaller by the stride."""
        kernel, stride = self.conv3d.kernel_size[0], self.conv3d.stride[0]
        x = pad_same(x, (kernel,) * 3, (stride,) * 3)
        return F.relu(self.bn(self.conv3d(x)))


class Mixed(nn.Module):
    """Inception's block: four branches, their outputs one after the other."""

    def __init__(self, inputs: int, o0: int, o1a: int, o1b: int, o2a: int, o2b: int, o3: int):
        super().__init__()
        self.b0 = Unit(inputs, o0, 1)
        self.b1a, self.b1b = Unit(inputs, o1a, 1), Unit(o1a, o1b, 3)
        self.b2a, self.b2b = Unit(inputs, o2a, 1), Unit(o2a, o2b, 3)
        self.b3b = Unit(inputs, o3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, f, h, w), with other channels."""
        pooled = max_pool(x, (3, 3, 3), (1, 1, 1))
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)]
        return torch.cat(branches, dim=1)


def max_pool(x: Tensor, kernel: Grid, stride: Grid) -> Tensor:
    """The largest value; zeros at the borders change nothing, as all of ``x`` is behind a ReLU."""
    return F.max_pool3d(pad_same(x, kernel, stride), kernel, stride)


def pad_same(x: Tensor, kernel: Grid, stride: Grid) -> Tensor:
    """Pad with zeros as TensorFlow's SAME does: ceil(size / stride) places, the odd zero last."""
    padding: list[int] = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding)
