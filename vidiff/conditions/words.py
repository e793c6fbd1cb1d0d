"""A text encoder learned from scratch with the model: hashed words and a small transformer."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vidiff.checks import among_heads, at_least
from vidiff.conditions.base import TextCondition
from vidiff.registry import register
from vidiff.types import Signal


@register("words")
class Words(TextCondition):
    """Words to vectors through a hash (Weinberger et al. 2009), mixed by a small transformer.

    There is no vocabulary: a word's row is its checksum modulo ``num_rows``. A token that starts
    every prompt gives the pooled vector; an empty prompt has no other. Rows that training has met
    are remembered, so that an unknown word can be reported.

    Args:
        text_dim: width of the features.
        depth: transformer layers; 0 leaves the words unmixed.
        num_heads: attention heads of each layer; the width divides among them.
        num_rows: rows of the word table; two words share one with probability 1 / num_rows.
        max_words: words of a prompt beyond these are ignored.
    """

    united: ClassVar = ("met",)
    """Buffers of which each process fills its own, see ``vidiff.training.processes``."""

    met: Tensor

    def __init__(
        self,
        text_dim: int = 128,
        depth: int = 2,
        num_heads: int = 4,
        num_rows: int = 8192,
        max_words: int = 64,
    ) -> None:
        super().__init__()
        among_heads(num_heads, text_dim=text_dim)
        at_least(0, depth=depth)
        at_least(1, num_rows=num_rows, max_words=max_words)
        self.text_dim, self.num_rows, self.max_words = text_dim, num_rows, max_words
        self.words = nn.Embedding(num_rows, text_dim)
        self.start = nn.Parameter(torch.randn(text_dim) * 0.02)
        self.places = nn.Parameter(torch.randn(max_words + 1, text_dim) * 0.02)
        nn.init.normal_(self.words.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            text_dim, num_heads, 4 * text_dim, dropout=0.0, activation="gelu",
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.mixer = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(text_dim)
        self.register_buffer("met", torch.zeros(num_rows, dtype=torch.bool))

    def read(self, prompts: Sequence[str]) -> Signal:
        rows, mask = self.tokenize(prompts)
        rows, mask = (x.to(self.start.device, non_blocking=True) for x in (rows, mask))
        if self.training:
            self.met[rows] = True
        tokens = torch.cat([self.start.expand(len(prompts), 1, -1), self.words(rows)], dim=1)
        mask = nn.functional.pad(mask, (1, 0), value=True)
        tokens = tokens + self.places[: tokens.shape[1]]
        tokens = self.norm(self.mixer(tokens, src_key_padding_mask=~mask))
        return Signal(vector=tokens[:, 0], tokens=tokens, mask=mask)

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Rows of the words and which are real: both (b, l), l the longest prompt's words."""
        split = [split_words(prompt)[: self.max_words] for prompt in prompts]
        longest = max(map(len, split), default=0)
        known = {word: self.row(word) for words in split for word in words}
        # All at once: a tensor of each prompt would take most of the time of a large batch.
        listed = [[known[w] for w in words] + [0] * (longest - len(words)) for words in split]
        real = [[True] * len(words) + [False] * (longest - len(words)) for words in split]
        shape = (len(split), longest)
        rows = np.array(listed, dtype=np.int64).reshape(shape)
        return torch.from_numpy(rows), torch.from_numpy(np.array(real, dtype=bool).reshape(shape))

    def row(self, word: str) -> int:
        """The row of one word: the same on every machine."""
        return zlib.crc32(word.encode()) % self.num_rows

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Words whose row no training prompt has met, sorted."""
        words = {word for prompt in prompts for word in split_words(prompt)}
        return sorted(word for word in words if not self.met[self.row(word)])


def split_words(prompt: str) -> list[str]:
    """Lower-case words and single punctuation marks."""
    return re.findall(r"\w+|[^\w\s]", prompt.lower())
