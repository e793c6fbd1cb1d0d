"""Condition interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Protocol

from torch import Tensor, nn

from vidiff.autoencoders.base import Autoencoder
from vidiff.config_nodes import Node
from vidiff.registry import kind
from vidiff.types import Inputs, Signal, SignalDims


@kind("condition", given=("autoencoder",))
class Condition(nn.Module, ABC):
    """Something known about a clip besides its noise: a prompt, a label, a first frame, a source.

    Turns raw inputs into the forms that a network can take: a vector, tokens, channels. Dropout,
    guidance, the cache and reports name it as the config does (``conditions: {text: words}``).

    Attributes:
        reads: names of its inputs; a missing one is refused before any work.
        optional: names of those that may be missing: it is then unconditional.
        dims: widths of its forms, known once it is built.
        frozen: whether it is never trained, so that ``vidiff encode`` keeps its signals. If its
            constructor has an argument ``folder``, checkpoints name that and a hash of the weights,
            and do not hold them.
        node: how its signals come about, without settings on which none depends, such as a device;
            by default, all settings.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()
    dims: SignalDims
    frozen: bool = False
    node: Node | None = None

    @abstractmethod
    def signal(self, inputs: Inputs) -> Signal:
        """The signal of b clips; tensors in ``inputs`` are on the model's device."""

    @abstractmethod
    def empty(self, inputs: Inputs) -> Signal:
        """The unconditional signal of as many clips, which dropout and guidance use."""

    def forward(self, inputs: Inputs, drop: Tensor | None = None) -> Signal:
        """The signal of b clips, unconditional where ``drop`` (b,), on the CPU, is True.

        Always called through this, which gathers sharded parameters.
        """
        if drop is None or not drop.any():
            return self.signal(inputs)
        if drop.all():
            return self.empty(inputs)
        return self.signal(inputs).replaced(self.empty(inputs), drop)


class TextCondition(Condition):
    """A condition that reads captions; the empty caption is its unconditional input.

    Attributes:
        text_dim: width of the vector and of each token.
    """

    reads: ClassVar[tuple[str, ...]] = ("caption",)
    text_dim: int

    @property
    def dims(self) -> SignalDims:  # type: ignore[override]
        """A vector for the whole prompt, and tokens."""
        return SignalDims(vector=self.text_dim, tokens=self.text_dim)

    @abstractmethod
    def read(self, prompts: Sequence[str]) -> Signal:
        """The signal of b prompts, on the device of the parameters; the empty one has a token."""

    def signal(self, inputs: Inputs) -> Signal:
        return self.read(inputs["caption"])

    def empty(self, inputs: Inputs) -> Signal:
        return self.read([""] * len(inputs["caption"]))

    def forward(self, inputs: Inputs, drop: Tensor | None = None) -> Signal:
        """As the base class says; each clip is read once."""
        if drop is None:
            return self.signal(inputs)
        pairs = zip(inputs["caption"], drop.tolist(), strict=True)
        return self.read(["" if is_dropped else caption for caption, is_dropped in pairs])


class MakeCondition(Protocol):
    """A condition with everything set but what the model decides.

    Args:
        autoencoder: the model's, for conditions that encode pixels.
    """

    def __call__(self, *, autoencoder: Autoencoder) -> Condition: ...


def each_condition(conditions: nn.ModuleDict) -> dict[str, Condition]:
    """The conditions by name, as what they are."""
    found = {}
    for name, part in conditions.items():
        assert isinstance(part, Condition)
        found[name] = part
    return found


def in_rows(signal: Signal, row: int) -> Signal:
    """The signal of one clip, without padding tokens: axis b of size 1, on the CPU."""
    one = signal.map(lambda x: x[row : row + 1].cpu())
    if one.mask is None or one.tokens is None:
        return one
    end = int(one.mask[0].nonzero().max()) + 1
    return replace(one, tokens=one.tokens[:, :end], mask=one.mask[:, :end])
