"""Prompts to token ids: template, truncation and padding."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from vidiff.checks import at_least
from vidiff.hugging_face import ModelFolder, explained, library

Padding = Literal["longest", "max_length"]

_UNLIMITED = 10**9  # tokenizers without a limit name a number above this


class PromptReader:
    """Turns prompts into token ids, padded on the right whatever side the tokenizer prefers.

    Args:
        folder: of the tokenizer.
        positions: number of positions that the encoder has; None if it is not limited.
        template: text around a prompt, which stands in the place of ``{}``.
        crop: tokens of the template's beginning, which the signal lacks.
        max_length: most tokens of a prompt in its template; None for the encoder's limit.
        padding: to the longest prompt of a batch, or to ``max_length``.

    Attributes:
        limit: most tokens; None if there is no limit.

    Raises:
        ValueError: if the tokenizer cannot be loaded, or a setting does not fit it.
    """

    def __init__(
        self,
        folder: ModelFolder,
        positions: int | None,
        *,
        template: str = "{}",
        crop: int = 0,
        max_length: int | None = None,
        padding: Padding = "longest",
    ) -> None:
        with explained(f"the tokenizer in {folder.tokenizer} cannot be loaded", "transformers"):
            self.tokenizer: Any = library().AutoTokenizer.from_pretrained(
                str(folder.tokenizer), local_files_only=True, trust_remote_code=False
            )
        self.template, self.crop, self.padding = template, crop, padding
        if template.count("{}") != 1:
            raise ValueError(
                f"template {template!r} must have {{}} once, where the prompt stands: for example "
                "'a video of {}'"
            )
        at_least(0, crop=crop)
        at_least(1, max_length=max_length)
        own = [self.tokenizer.model_max_length, positions, folder.sentence_length]
        known = min((number for number in own if number and number < _UNLIMITED), default=None)
        if max_length is not None and known is not None and max_length > known:
            raise ValueError(f"max_length is {max_length}, and {folder.path} reads {known} at most")
        if padding == "max_length" and max_length is None:
            raise ValueError(
                "padding: max_length needs max_length, the number of tokens that every prompt is "
                f"padded to ({folder.path} reads {known or 'any number'} at most)"
            )
        self.limit = known if max_length is None else max_length
        self._warned = False
        if (shortest := len(self._rows([""])[0])) <= crop:
            raise ValueError(
                f"crop is {crop}, and an empty prompt in its template has {shortest} tokens: one "
                "must be left; crop is the number of tokens before {}"
            )

    def __call__(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and which of them are real, both (b, l), on the CPU."""
        rows = self._rows(prompts)
        length = self.limit if self.padding == "max_length" else max(map(len, rows))
        assert length is not None, "checked when it was built"
        filler = self._first(("pad_token_id", "eos_token_id"), default=0)
        ids = [row + [filler] * (length - len(row)) for row in rows]
        real = [[True] * len(row) + [False] * (length - len(row)) for row in rows]
        # Where a model is planned, tensors are made elsewhere by default.
        return torch.tensor(ids, device="cpu"), torch.tensor(real, device="cpu")

    def _rows(self, prompts: Sequence[str]) -> list[list[int]]:
        texts = [self.template.replace("{}", prompt) for prompt in prompts]
        rows = self.tokenizer(
            texts, truncation=self.limit is not None, max_length=self.limit, padding=False,
            return_attention_mask=False, return_token_type_ids=False, verbose=False,
        )["input_ids"]  # fmt: skip
        if self.limit is not None and not self._warned:
            self._warn_if_cut(texts, rows)
        # Tokenizers of decoders may have no token for an empty prompt, and a clip needs one.
        nothing = self._first(("bos_token_id", "eos_token_id", "pad_token_id"), default=0)
        return [row or [nothing] for row in rows]

    def _warn_if_cut(self, texts: Sequence[str], rows: Sequence[list[int]]) -> None:
        """Warn once of a text that has more tokens than are read, with what is left out."""
        assert self.limit is not None
        room = self.limit - self.tokenizer.num_special_tokens_to_add()
        for text, row in zip(texts, rows, strict=True):
            if len(row) < self.limit:
                continue
            whole = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            if len(whole) > room:
                lost = " ".join(self.tokenizer.decode(whole[room:]).split())
                warnings.warn(
                    f"a prompt of {len(whole)} tokens is cut to the {room} that are read "
                    f"(max_length {self.limit} with special tokens); left out: {lost[:200]!r}. "
                    "Longer prompts that follow are cut without a warning",
                    stacklevel=2,
                )
                self._warned = True
                return

    def _first(self, names: Sequence[str], default: int) -> int:
        found = (getattr(self.tokenizer, name, None) for name in names)
        return next((number for number in found if number is not None), default)
