"""Axes and the tensors that travel together.

The legend for every shape annotation and einops string in vidiff:

====  ==========================================
``b``  batch
``c``  channels
``f``  frames (of pixels, or of latents)
``h``  height
``w``  width
``n``  tokens of video
``l``  tokens of text
``d``  width of the model
====  ==========================================

``t`` is only ever diffusion time: 0 is clean video, 1 is pure noise.
Pixels are ``b c f h w`` in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

Grid = tuple[int, int, int]
"""Number of tokens along frames, height and width."""


@dataclass
class TextFeatures:
    """What a text encoder says of ``b`` prompts.

    Attributes:
        pooled: (b, text_dim), one vector for the whole prompt.
        tokens: (b, l, text_dim).
        mask: (b, l), True where a token is real; at least one per row.
    """

    pooled: Tensor
    tokens: Tensor
    mask: Tensor

    def pin_memory(self) -> TextFeatures:
        """Called by ``DataLoader(pin_memory=True)``, for the batch."""
        return TextFeatures(*(x.pin_memory() for x in (self.pooled, self.tokens, self.mask)))


@dataclass
class VideoSample:
    """One clip of a dataset.

    Attributes:
        pixels: (c, f, h, w) in [-1, 1], float32.
        caption: what the clip shows; may be empty.
        id: stable and unique within the dataset, for reports and for removing duplicates.
    """

    pixels: Tensor
    caption: str
    id: str


@dataclass
class VideoBatch:
    """Clips of one size, stacked.

    Attributes:
        pixels: (b, c, f, h, w) in [-1, 1], float32.
        captions: b strings.
        ids: b strings.
    """

    pixels: Tensor
    captions: list[str]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def size(self) -> Grid:
        """Frames, height and width of the clips."""
        f, h, w = self.pixels.shape[2:]
        return f, h, w

    def pin_memory(self) -> VideoBatch:
        """Called by ``DataLoader(pin_memory=True)``."""
        return VideoBatch(self.pixels.pin_memory(), self.captions, self.ids)


@dataclass
class LatentSample:
    """One clip that an autoencoder has encoded already.

    Attributes:
        latents: (c, f, h, w), as ``Autoencoder.encode`` gives them.
        size: frames, height and width of the clip's pixels.
        caption: what the clip shows; may be empty.
        id: stable and unique within the dataset.
        text: features of the caption, axes b and l of size 1 and the caption's length; None where
            the text encoder is trained along and must read the caption itself.
        empty: the same of the empty caption.
    """

    latents: Tensor
    size: Grid
    caption: str
    id: str
    text: TextFeatures | None = None
    empty: TextFeatures | None = None


@dataclass
class LatentBatch:
    """Encoded clips of one size, stacked.

    Attributes:
        latents: (b, c, f, h, w).
        size: frames, height and width of the clips' pixels.
        captions: b strings.
        ids: b strings.
        text: features of b captions, or None.
        empty: those of the empty caption, axis b of size 1, or None.
    """

    latents: Tensor
    size: Grid
    captions: list[str]
    ids: list[str]
    text: TextFeatures | None = None
    empty: TextFeatures | None = None

    def __len__(self) -> int:
        return len(self.captions)

    def pin_memory(self) -> LatentBatch:
        """Called by ``DataLoader(pin_memory=True)``."""
        text, empty = (x.pin_memory() if x else None for x in (self.text, self.empty))
        return replace(self, latents=self.latents.pin_memory(), text=text, empty=empty)


Sample = VideoSample | LatentSample
Batch = VideoBatch | LatentBatch
