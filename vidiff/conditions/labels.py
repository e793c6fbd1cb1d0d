"""Class labels in the place of prompts (DiT, Peebles & Xie 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vidiff.checks import at_least
from vidiff.conditions.base import TextCondition
from vidiff.registry import nearest, register
from vidiff.types import Signal


@register("labels")
class Labels(TextCondition):
    """A vector for each class, and one for no class, which an empty prompt has.

    Args:
        num_classes: number of classes.
        text_dim: width of the vectors.
        names: names of the classes in prompts, in order, all different; by default 0, 1, 2, ….
    """

    def __init__(
        self, num_classes: int = 1000, text_dim: int = 384, names: list[str] | None = None
    ) -> None:
        super().__init__()
        at_least(1, num_classes=num_classes, text_dim=text_dim)
        names = [str(number) for number in range(num_classes)] if names is None else names
        if len(names) != num_classes or len(set(names)) != num_classes or "" in names:
            raise ValueError(
                f"names must be {num_classes} different names, one per class, got {len(names)} of "
                f"which {len(set(names) - {''})} differ; set num_classes to their number"
            )
        self.text_dim, self.num_classes = text_dim, num_classes
        self.numbers = {name: number for number, name in enumerate(names)}
        self.table = nn.Embedding(num_classes + 1, text_dim)  # the last row is no class
        nn.init.normal_(self.table.weight, std=0.02)

    def read(self, prompts: Sequence[str]) -> Signal:
        return self.embed(torch.tensor([self.number(prompt) for prompt in prompts]))

    def embed(self, labels: Tensor) -> Signal:
        """Signal of class numbers (b,), ``num_classes`` for no class; ``ValueError`` for others."""
        if labels.min() < 0 or labels.max() > self.num_classes:
            raise ValueError(
                f"labels must be within [0, {self.num_classes}], the last for no class, got "
                f"{sorted({int(labels.min()), int(labels.max())})}"
            )
        pooled = self.table(labels.long().to(self.table.weight.device, non_blocking=True))
        mask = torch.ones(len(labels), 1, dtype=torch.bool, device=pooled.device)
        return Signal(vector=pooled, tokens=pooled.unsqueeze(1), mask=mask)

    def number(self, prompt: str) -> int:
        """The class that a prompt names; if there is none, a ``ValueError`` with the nearest."""
        if not prompt:
            return self.num_classes
        if prompt not in self.numbers:
            known = list(self.numbers)
            raise ValueError(
                f"no class is called {prompt!r}{nearest(prompt, known)}; there are "
                f"{self.num_classes}, from {known[0]!r} to {known[-1]!r}"
            )
        return self.numbers[prompt]
