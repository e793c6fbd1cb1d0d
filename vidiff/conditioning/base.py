"""Conditioning interface: how time and conditions reach the tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vidiff.attention.base import Attention
from vidiff.positions.base import Layout
from vidiff.positions.sincos import SinCos
from vidiff.registry import fitting, kind
from vidiff.types import SignalDims, Signals

Form = Literal["vector", "tokens"]


class Route(NamedTuple):
    """A form of a condition's signal, and what it becomes."""

    form: Form
    to: Form


@dataclass
class Context:
    """Time and conditions, ready for the blocks; made once per forward pass."""

    vector: Tensor  # (b, 1, d), or (b, f, d) where frames differ; wider if the class shares more
    tokens: Tensor | None = None  # (b, l, d), attended to; None where only the vector is used
    mask: Tensor | None = None  # (b, l), True where a token is real

    def for_frames(self) -> Context:
        """The same with one vector for all frames, their mean."""
        if self.vector.shape[1] == 1:
            return self
        return replace(self, vector=self.vector.mean(1, keepdim=True))


class Block(nn.Module, ABC):
    """One transformer block: self-attention and an MLP under a context."""

    def __init__(self, attention: Attention, mlp: nn.Module) -> None:
        super().__init__()
        self.attention, self.mlp = attention, mlp

    @abstractmethod
    def forward(self, tokens: Tensor, context: Context, layout: Layout) -> Tensor:
        """Tokens (b, k + n, d) to the same shape; k are those that ``enter`` put first."""


@kind("conditioning", given=("width", "num_heads", "signals"))
class Conditioning(nn.Module, ABC):
    """How diffusion time and the conditions reach the tokens.

    Prepares the context once, and makes every block of the transformer and the last norm. Each form
    that is used is mapped to the model's width; vectors are added to the time, tokens follow each
    other. Channels never come here: the denoiser puts them next to the latents.

    Args:
        project: map each form linearly; False takes them as they are, as DiT does with classes, and
            needs them to be as wide as the tokens.

    Attributes:
        routes: forms that can be used, and what they become, the best first.
        uses_all: whether every form of a condition is used, not only the best.
        tokens_first: whether the blocks see the conditions' tokens too, before the video's.

    Raises:
        ValueError: if a condition has no form that can be used, with the conditionings that fit; or
            one that is taken as it is does not have the width of a token.
    """

    routes: ClassVar[tuple[Route, ...]] = (Route("vector", "vector"),)
    uses_all: ClassVar[bool] = False
    tokens_first: ClassVar[bool] = False

    def __init__(
        self,
        *,
        width: int,
        num_heads: int = 1,
        signals: Mapping[str, SignalDims] | None = None,
        project: bool = True,
    ) -> None:
        super().__init__()
        self.width, self.num_heads, self.project = width, num_heads, project
        signals = signals or {}
        self.taken = {name: self._taken(name, dims) for name, dims in signals.items()}
        self.vector_maps, self.token_maps = (
            nn.ModuleDict(
                {
                    name: self._map(name, getattr(signals[name], route.form))
                    for name, routes in self.taken.items()
                    for route in routes
                    if route.to == to
                }
            )
            for to in ("vector", "tokens")
        )
        self.places = SinCos(width=width, shares=(1.0, 0.0, 0.0))

    def prepare(self, time: Tensor, signals: Signals) -> Context:
        """Join the time's embedding, (b, 1, d) or (b, f, d), and the conditions, some missing."""
        vector = time
        for name, to_width in self.vector_maps.items():
            if name in signals:
                vector = vector + to_width(signals[name].vectors)
        return Context(vector, *self._tokens(signals))

    @abstractmethod
    def make_block(self, attention: Attention, mlp: nn.Module) -> Block:
        """A block of these two layers; for attention that does not fit, a ``ValueError``."""

    @abstractmethod
    def make_last_norm(self) -> nn.Module:
        """The norm before the output: ``norm(tokens, context) -> tokens``."""

    def make_map(self, dim: int) -> nn.Module:
        """Maps a form of width ``dim`` to the model's width; linear, by default."""
        return nn.Linear(dim, self.width)

    def enter(self, tokens: Tensor, context: Context) -> Tensor:
        """Video tokens (b, n, d) to the input of the blocks, (b, k + n, d)."""
        if not self.tokens_first or context.tokens is None:
            return tokens
        return torch.cat([context.tokens, tokens], dim=1)

    def leave(self, tokens: Tensor, context: Context) -> Tensor:
        """Undo ``enter``."""
        if not self.tokens_first or context.tokens is None:
            return tokens
        return tokens[:, context.tokens.shape[1] :]

    def as_tokens(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (b, 1, d) or (b, f, d) as tokens and their mask; several know their frames."""
        num = vectors.shape[1]
        if num > 1:
            vectors = vectors + self.places.table((num, 1, 1), vectors.device).to(vectors.dtype)
        return vectors, torch.ones_like(vectors[..., 0], dtype=torch.bool)

    def _tokens(self, signals: Signals) -> tuple[Tensor | None, Tensor | None]:
        found = []
        for name, to_width in self.token_maps.items():
            if name not in signals:
                continue
            signal = signals[name]
            if self.taken[name][-1].form == "tokens":
                assert signal.tokens is not None
                assert signal.mask is not None
                found.append((to_width(signal.tokens), signal.mask))
            else:
                found.append(self.as_tokens(to_width(signal.vectors)))
        return joined(found)

    def _taken(self, name: str, dims: SignalDims) -> tuple[Route, ...]:
        routes = tuple(route for route in self.routes if getattr(dims, route.form))
        if not routes and (dims.vector or dims.tokens):
            form = "tokens" if dims.tokens else "vector"
            can = fitting("conditioning", lambda cls: form in {route.form for route in cls.routes})
            raise ValueError(
                f"condition {name!r} has {' and '.join(dims.forms)} only, which "
                f"{type(self).__name__} conditioning cannot use; these can: {can}"
            )
        return routes if self.uses_all else routes[:1]

    def _map(self, name: str, dim: int) -> nn.Module:
        if self.project:
            return self.make_map(dim)
        if dim != self.width:
            raise ValueError(
                f"project: false takes condition {name!r} of width {dim} as it is, but tokens have "
                f"width {self.width}: give the condition that width (text_dim), or set project: "
                "true"
            )
        return nn.Identity()


class MakeConditioning(Protocol):
    """A way of conditioning with everything set but the dimensions.

    Args:
        width: of a token.
        num_heads: attention heads.
        signals: widths of the conditions' forms, by name; none for a model without conditions.
    """

    def __call__(
        self, *, width: int, num_heads: int, signals: Mapping[str, SignalDims]
    ) -> Conditioning: ...


def joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor | None, Tensor | None]:
    """Tokens (b, l, d) and masks (b, l) one after the other; None if there are none."""
    if len(parts) < 2:
        return parts[0] if parts else (None, None)
    tokens, masks = zip(*parts, strict=True)
    return torch.cat(tokens, dim=1), torch.cat(masks, dim=1)
