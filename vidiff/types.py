"""Axes and the tensors that travel together.

The legend for every shape annotation and einops string in vidiff:

====  ==========================================
``b``  batch
``c``  channels
``f``  frames (of pixels, or of latents)
``h``  height
``w``  width
``n``  tokens of video
``l``  tokens of a condition
``d``  width of the model
====  ==========================================

``t`` is only ever diffusion time: 0 is clean video, 1 is pure noise.
Pixels are ``b c f h w`` in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Grid = tuple[int, int, int]
"""Number of tokens along frames, height and width."""

Size = tuple[int, int, int]
"""Frames, height and width: of a clip in pixels or latents, or pixels per latent along each."""

Inputs = Mapping[str, Any]
"""What is known of b clips, raw, by name; what is there depends on the data and the call.

``caption`` is a list of b strings. While training there are also ``video``, the clips' pixels
(b, 3, f, h, w), except from a latent cache; ``latents`` (b, c, f, h, w); and ``id``, b strings.
While sampling, what the call gives. Always ``latent_shape``, the (c, f, h, w) of the latents, once
a model reads the inputs. A dataset may add others under names of its own.
"""


@dataclass(frozen=True)
class SignalDims:
    """Widths of the forms in which a condition reaches the network; 0 for a form that it lacks."""

    vector: int = 0
    tokens: int = 0
    channels: int = 0

    @property
    def forms(self) -> tuple[str, ...]:
        """Names of the forms that there are."""
        return tuple(name for name in ("vector", "tokens", "channels") if getattr(self, name))


@dataclass
class Known:
    """Parts of the latents that are given, not generated: a first frame, the past, both ends."""

    latents: Tensor  # (b, c, f, h, w), clean; of any value where unknown
    mask: Tensor  # (b, 1, f, h, w), 1 where known and 0 elsewhere

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, rows: slice) -> Known:
        """Of some of the clips."""
        return Known(self.latents[rows], self.mask[rows])

    def frames(self) -> Tensor:
        """Which latent frames are known everywhere: (b, f), bool."""
        return self.mask.amin(dim=(1, 3, 4)) > 0

    def times(self, t: Tensor) -> Tensor:
        """Times (b,) or (b, f) with 0 for frames that are known everywhere: (b, f)."""
        frames = self.frames().to(t.device)
        times = t if t.ndim == 2 else t.unsqueeze(1).expand_as(frames)
        return times.masked_fill(frames, 0.0)

    def put(self, x: Tensor) -> Tensor:
        """``x`` (b, c, f, h, w) with the known parts replaced."""
        return torch.where(self.mask.to(x.device) > 0, self.latents.to(x), x)


def num_clips(inputs: Inputs) -> int:
    """Number of clips that inputs are of; a ``ValueError`` if nothing is given of any clip."""
    for name, value in inputs.items():
        if name != "latent_shape" and value is not None:
            return len(value)
    raise ValueError("the inputs are empty, so the number of clips is unknown: give captions")


@dataclass
class Signal:
    """One condition of b clips, in the forms that a network can take; None for those it lacks."""

    vector: Tensor | None = None  # (b, c), or (b, f, c) where latent frames differ; modulates
    tokens: Tensor | None = None  # (b, l, c); attended to
    mask: Tensor | None = None  # (b, l), True where a token is real; at least one per row
    channels: Tensor | None = None  # (b, c, f, h, w); next to the noisy latents
    known: Known | None = None  # what it gives away of the clips, for objective and sampler

    @property
    def vectors(self) -> Tensor:
        """The vector as (b, 1, c), or (b, f, c) where latent frames differ."""
        assert self.vector is not None, "asked of a condition that has one"
        return self.vector if self.vector.ndim == 3 else self.vector.unsqueeze(1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Signal:
        """``function`` of each tensor."""
        known = self.known
        if known is not None:
            known = Known(function(known.latents), function(known.mask))
        return _signal((None if x is None else function(x) for x in self._forms()), known)

    def pin_memory(self) -> Signal:
        """Called by ``DataLoader(pin_memory=True)``, for the batch."""
        return self.map(Tensor.pin_memory)

    def replaced(self, other: Signal, where: Tensor) -> Signal:
        """The clips of ``other`` in the place of these where ``where`` (b,) is True.

        Token counts may differ; the shorter are padded. ``other`` may be of one clip, for all.
        """
        longest = max(0 if s.mask is None else s.mask.shape[1] for s in (self, other))
        ours, theirs = self._padded(longest), other._padded(longest)

        def chosen(x: Tensor) -> Tensor:
            return where.to(x.device, non_blocking=True).view(-1, *[1] * (x.ndim - 1))

        def pick(kept: Tensor | None, new: Tensor | None) -> Tensor | None:
            if kept is None or new is None:
                assert kept is new, "both are of one condition"
                return None
            return torch.where(chosen(kept), new, kept)

        known = self.known
        if known is not None:
            known = Known(known.latents, known.mask.masked_fill(chosen(known.mask), 0))
        return _signal(map(pick, ours._forms(), theirs._forms()), known)

    def _forms(self) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        return self.vector, self.tokens, self.mask, self.channels

    def _padded(self, length: int) -> Signal:
        if self.mask is None or self.tokens is None:
            return self
        missing = length - self.mask.shape[1]
        tokens = F.pad(self.tokens, (0, 0, 0, missing))
        return replace(self, tokens=tokens, mask=F.pad(self.mask, (0, missing)))


def _signal(forms: Iterable[Tensor | None], known: Known | None) -> Signal:
    vector, tokens, mask, channels = forms
    return Signal(vector, tokens, mask, channels, known)


Signals = dict[str, Signal]  # by the condition's name in the config


def stack_signals(signals: Sequence[Signal]) -> Signal:
    """Signals of one clip or more each as one batch; token counts are padded to the longest."""
    longest = max(0 if s.mask is None else s.mask.shape[1] for s in signals)
    columns = zip(*(s._padded(longest)._forms() for s in signals), strict=True)
    forms = (
        None if column[0] is None else torch.cat([x for x in column if x is not None])
        for column in columns
    )
    known = [s.known for s in signals if s.known is not None]
    if not known:
        return _signal(forms, None)
    latents, mask = torch.cat([k.latents for k in known]), torch.cat([k.mask for k in known])
    return _signal(forms, Known(latents, mask))


@dataclass
class VideoSample:
    """One clip of a dataset."""

    pixels: Tensor  # (c, f, h, w) in [-1, 1], float32
    caption: str  # may be empty
    id: str  # stable and unique within the dataset, for reports and for removing duplicates
    inputs: dict[str, Any] = field(default_factory=dict)  # what else is known, by name: a label


@dataclass
class VideoBatch:
    """Clips of one size, stacked."""

    pixels: Tensor  # (b, c, f, h, w) in [-1, 1], float32
    captions: list[str]
    ids: list[str]
    extra: dict[str, Any] = field(default_factory=dict)  # other inputs; tensors have axis b first

    @property
    def inputs(self) -> dict[str, Any]:
        """What conditions read."""
        return {"caption": self.captions, "id": self.ids, "video": self.pixels, **self.extra}

    def __len__(self) -> int:
        return len(self.captions)

    @property
    def size(self) -> Size:
        """Frames, height and width of the clips."""
        f, h, w = self.pixels.shape[2:]
        return f, h, w

    def pin_memory(self) -> VideoBatch:
        """Called by ``DataLoader(pin_memory=True)``."""
        extra = {k: x.pin_memory() if isinstance(x, Tensor) else x for k, x in self.extra.items()}
        return VideoBatch(self.pixels.pin_memory(), self.captions, self.ids, extra)


@dataclass
class LatentSample:
    """One clip that an autoencoder has encoded already.

    Signals are those of the frozen conditions, with axis b of size 1; a condition that is trained
    along reads its inputs itself.
    """

    latents: Tensor  # (c, f, h, w), as ``Autoencoder.encode`` gives them
    size: Size  # of the clip's pixels
    caption: str
    id: str
    signals: Signals = field(default_factory=dict)
    empty: Signals = field(default_factory=dict)  # of the unconditional input


@dataclass
class LatentBatch:
    """Encoded clips of one size, stacked."""

    latents: Tensor  # (b, c, f, h, w)
    size: Size  # of the clips' pixels
    captions: list[str]
    ids: list[str]
    signals: Signals = field(default_factory=dict)  # of the frozen conditions, for b clips
    empty: Signals = field(default_factory=dict)  # of the unconditional input, axis b of size 1

    @property
    def inputs(self) -> dict[str, Any]:
        """What conditions read."""
        return {"caption": self.captions, "id": self.ids}

    def __len__(self) -> int:
        return len(self.captions)

    def pin_memory(self) -> LatentBatch:
        """Called by ``DataLoader(pin_memory=True)``."""
        signals, empty = (
            {name: signal.pin_memory() for name, signal in held.items()}
            for held in (self.signals, self.empty)
        )
        return replace(self, latents=self.latents.pin_memory(), signals=signals, empty=empty)


Sample = VideoSample | LatentSample
Batch = VideoBatch | LatentBatch
