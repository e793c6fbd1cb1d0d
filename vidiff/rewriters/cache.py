"""Answers of language models on disk, by the content of what was asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidiff.files import cache_folder, write_text
from vidiff.rewriters.base import Rewritten


class AnswerCache:
    """A file for each answer, in ``$VIDIFF_CACHE/rewriters``; processes may share it.

    Args:
        settings: everything but the prompt that decides an answer; no secret.
        is_used: without it nothing is read or written.
    """

    def __init__(self, settings: Mapping[str, Any], is_used: bool = True) -> None:
        self.settings = dict(settings)
        self.folder = cache_folder() / "rewriters" if is_used else None

    def known(self, prompts: Sequence[str]) -> dict[str, str | None]:
        """The answer to each prompt that is not empty, None where there is none."""
        return {prompt: self.get(prompt) for prompt in dict.fromkeys(prompts) if prompt.strip()}

    def get(self, prompt: str) -> str | None:
        """The answer to a prompt; None if there is none, or its file is damaged."""
        if self.folder is None:
            return None
        try:
            answer = json.loads(self._path(prompt).read_text(encoding="utf-8"))["answer"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return answer if isinstance(answer, str) else None

    def keep(self, prompt: str, answer: str) -> None:
        """Keep a usable answer; a full or read-only disk only means that it is asked for again."""
        if self.folder is None or Rewritten.answered(prompt, answer).problem:
            return
        entry = {"prompt": prompt, "answer": answer, "settings": self.settings}
        try:
            write_text(self._path(prompt), json.dumps(entry, ensure_ascii=False, indent=1) + "\n")
        except OSError:
            return

    def _path(self, prompt: str) -> Path:
        assert self.folder is not None
        asked = json.dumps([self.settings, prompt], sort_keys=True, ensure_ascii=False)
        return self.folder / f"{hashlib.sha256(asked.encode()).hexdigest()}.json"
