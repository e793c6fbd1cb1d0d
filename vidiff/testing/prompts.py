"""Checks of rewriters."""

from __future__ import annotations

from collections.abc import Callable

from vidiff.rewriters import Rewriter
from vidiff.testing.common import checks


@checks("rewriter")
def _check_rewriter(make: Callable[[], Rewriter]) -> None:
    prompts = ["a red square moves left", "", "a cat", "a red square moves left", " "]
    results = list(make().rewrite(prompts))
    assert [one.original for one in results] == prompts, "one result a prompt, in their order"
    for one in results:
        assert isinstance(one.prompt, str), f"the text of {one.original!r} is {one.prompt!r}"
        is_empty = not one.original.strip()
        assert is_empty == (not one.prompt.strip()), f"{one.original!r} became {one.prompt!r}"
        assert "\n" not in one.prompt, f"{one.original!r} became several lines"
        assert not one.problem or one.prompt == one.original, "a problem keeps the original prompt"
    assert results[0] == results[3], "the same prompt becomes two texts in one call"
    assert list(make().rewrite([])) == []
