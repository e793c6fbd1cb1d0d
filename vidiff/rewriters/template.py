"""Rules and templates: the rewriter that needs no language model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from zlib import crc32

from vidiff.registry import register
from vidiff.rewriters.base import Rewriter, Rewritten
from vidiff.seeds import mix

SLOT = "{prompt}"


@register("template")
class Template(Rewriter):
    """Rewrites by regular expressions, then puts the prompt into a template.

    The same prompt and seed give the same text on every machine.

    Args:
        rules: replacements by regular expression, in order, as in ``{"^(red|blue) (square)$": "a
            \\1 \\2 stays still"}``.
        templates: texts that contain ``{prompt}``; one is drawn for each prompt.
        seed: with the prompt's text, decides which template is drawn.

    Raises:
        ValueError: if there is no template, one has no ``{prompt}``, or a rule is no regular
            expression.
    """

    def __init__(
        self,
        rules: dict[str, str] | None = None,
        templates: Sequence[str] = (SLOT,),
        seed: int = 0,
    ) -> None:
        if not templates or any(SLOT not in template for template in templates):
            raise ValueError(f"templates must each contain {SLOT}, got {list(templates)}")
        self.rules = [(_compiled(rule, new), new) for rule, new in (rules or {}).items()]
        self.templates, self.seed = list(templates), seed

    def rewrite(self, prompts: Sequence[str]) -> Iterator[Rewritten]:
        for prompt in prompts:
            yield Rewritten.answered(prompt, self._text(prompt))

    def _text(self, prompt: str) -> str:
        text = prompt
        for rule, new in self.rules:
            text = rule.sub(new, text)
        drawn = mix(self.seed, crc32(prompt.encode())) % len(self.templates)
        return self.templates[drawn].replace(SLOT, text)


def _compiled(rule: str, new: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(rule)
        # An empty match shows a reference to a group that is not there.
        re.compile(f"{rule}|").sub(new, "")
    except (re.error, IndexError) as error:
        raise ValueError(f"rules: {rule!r}: {new!r} is no regular expression ({error})") from error
    return pattern
