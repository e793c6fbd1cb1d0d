"""Rewriter interface, and what is common to rewriters that ask a language model."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from vidiff.registry import kind

LONGEST = 4000
"""Characters of a rewritten prompt; no text encoder reads more."""

SYSTEM = (
    "You expand prompts for a text-to-video model. Answer with one paragraph of at most 80 words "
    "that keeps every fact of the prompt and adds concrete detail on subject, motion, scene, light "
    "and camera. Answer with the new prompt only, without quotation marks, lists or comments."
)
"""Instruction to the language model, where a config gives no other."""


@dataclass(frozen=True)
class Rewritten:
    """One prompt as it is to be sampled, and as it was given."""

    original: str
    prompt: str
    problem: str = ""  # why the original prompt was kept; empty if it was rewritten

    @classmethod
    def kept(cls, original: str, problem: str) -> Rewritten:
        """The original prompt, with the reason why it was not rewritten, as one line."""
        return cls(original, original, " ".join(problem.split()))

    @classmethod
    def answered(cls, original: str, answer: object) -> Rewritten:
        """The answer of a language model as one line; the original if it is unusable, or empty."""
        if not original.strip():
            return cls(original, original)
        if not isinstance(answer, str):
            return cls.kept(original, f"the answer is {type(answer).__name__}, not text")
        text = " ".join(answer.split())
        if quoted := re.fullmatch(r'"([^"]*)"|“([^“”]*)”', text):
            text = (quoted[1] or quoted[2] or "").strip()
        if not text:
            return cls.kept(original, "the answer is empty")
        if len(text) > LONGEST:
            return cls.kept(
                original, f"the answer has {len(text):,} characters; {LONGEST:,} are allowed"
            )
        return cls(original, text)


@kind("rewriter")
class Rewriter(ABC):
    """Prompt augmentation before sampling (``vidiff sample``) or training (``vidiff recaption``).

    The video models that are steered best train on long captions and rewrite short prompts into
    their style (DALL-E 3, Betker et al. 2023; Sora, Brooks et al. 2024).
    """

    @abstractmethod
    def rewrite(self, prompts: Sequence[str]) -> Iterator[Rewritten]:
        """One result for each prompt, in their order.

        A prompt that could not be rewritten is kept, with the reason in ``problem``; an empty
        prompt stays empty.

        Raises:
            ValueError: before the first result, if no prompt can be rewritten: the model or its key
                is missing or refused.
        """


class MakeRewriter(Protocol):
    """A rewriter with everything set."""

    def __call__(self) -> Rewriter: ...
