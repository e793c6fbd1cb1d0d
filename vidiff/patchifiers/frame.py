"""Frame-wise patches (ViT, Dosovitskiy et al. 2021; uniform frame sampling of ViViT and Latte)."""

from __future__ import annotations

from vidiff.patchifiers.tubelet import Tubelet
from vidiff.registry import register


@register("frame")
class Frame(Tubelet):
    """Square patches of single frames: a tubelet that is one frame long.

    Args:
        in_channels: channels of the latents.
        out_channels: channels to predict.
        width: width of a token.
        patch_size: height and width of a patch.
    """

    def __init__(
        self, *, in_channels: int, out_channels: int, width: int, patch_size: int = 2
    ) -> None:
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            width=width,
            patch_size=(1, patch_size, patch_size),
        )
