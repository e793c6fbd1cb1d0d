"""LPIPS (Zhang et al. 2018), and its shift-tolerant variant (ST-LPIPS, Ghildyal & Liu 2022)."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from vidiff.perceptual.backbones import BACKBONES, BackboneName
from vidiff.perceptual.base import Perceptual
from vidiff.perceptual.weights import find_weights, read_linear, read_weights
from vidiff.registry import register

log = logging.getLogger(__name__)


@register("lpips")
class LPIPS(Perceptual):
    """Weighted squared differences of normalised features, averaged over space and frames.

    The weights, which must be of the backbone, decide the variant; scores of different variants
    must not be compared. Nothing is downloaded.

    Args:
        weights: path of a backbone's file (torchvision's ``vgg16-397923af.pth`` or
            ``alexnet-owt-….pth``), to which the published linear weights are added, or of a whole
            network's (stlpips-pytorch's ``vgg_shift_tolerant.pth``, or a saved LPIPS module's). By
            default looked for under these names in ``$VIDIFF_WEIGHTS``, torch hub's cache and the
            installed package stlpips-pytorch.
        backbone: ``vgg`` as in training autoencoders (Esser et al. 2021), or ``alex``, which is
            cheaper and usual for scores.

    Attributes:
        variant: ``lpips-vgg``, ``lpips-alex``, ``st-lpips-vgg`` or ``st-lpips-alex``.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, *, weights: str | None = None, backbone: BackboneName = "vgg") -> None:
        super().__init__()
        path = find_weights(backbone) if weights is None else Path(weights)
        read = read_weights(path)
        if read.backbone != backbone:
            raise ValueError(
                f"{path} holds {read.backbone or 'an unknown network'}, and backbone is "
                f"{backbone!r}: set backbone to {read.backbone or 'that of the weights'}"
            )
        self.variant = f"{'st-' * read.shift_tolerant}lpips-{backbone}"
        log.info("the perceptual distance is %s, from %s", self.variant, path)
        self.backbone = BACKBONES[backbone](read.shift_tolerant)
        channels = read.channels or read_linear(backbone)
        self.channels = nn.ParameterList(channels)
        with torch.no_grad():
            convolutions = zip(self.backbone.convolutions(), read.convolutions, strict=True)
            for convolution, (weight, bias) in convolutions:
                assert convolution.bias is not None
                convolution.weight.copy_(weight)
                convolution.bias.copy_(bias)
        # Mean and deviation of ImageNet's colours, for values in [-1, 1].
        for name, values in ("shift", (-0.030, -0.088, -0.188)), ("scale", (0.458, 0.448, 0.450)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor, reference: Tensor) -> Tensor:
        smallest = self.backbone.min_size
        if min(pixels.shape[-2:]) < smallest:
            raise ValueError(
                f"{self.variant} needs frames of at least {smallest} x {smallest} pixels, got "
                f"{pixels.shape[-2]} x {pixels.shape[-1]}"
            )
        distances = [
            # Equation 1 of Zhang et al. 2018, with weights that are squared already.
            torch.einsum("nchw,c->n", (a - b).square(), weight) / (a.shape[2] * a.shape[3])
            for a, b, weight in zip(
                self.features(pixels), self.features(reference), self.channels, strict=True
            )
        ]
        frames = torch.stack(distances).sum(0)
        return rearrange(frames, "(b f) -> b f", b=len(pixels)).mean(1)

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Features of all frames, each position of unit length: (b f, c, h', w') by stage."""
        frames = rearrange(pixels, "b c f h w -> (b f) c h w")
        return [unit(x.float()) for x in self.backbone((frames - self.shift) / self.scale)]


def unit(features: Tensor) -> Tensor:
    """Divide features (n, c, h, w) by their length at each position."""
    # Inside the root, so that its gradient is finite where all features are zero.
    return features / (features.square().sum(1, keepdim=True) + 1e-8).sqrt()
