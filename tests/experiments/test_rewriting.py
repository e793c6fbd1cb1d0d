"""The experiment on rewriting: its rules turn each short prompt into what is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidiff.captions import read_list
from vidiff.rewriters import Template

FOLDER = Path(__file__).parents[2] / "experiments" / "rewriting"
QUICKSTART = FOLDER.parent / "quickstart"


@pytest.mark.parametrize("group", ["seen", "unseen"])
def test_the_rules_give_what_is_asked(group: str) -> None:
    short, asked = (read_list(FOLDER / f"{name}_{group}.txt") for name in ("short", "asked"))
    rules = json.loads((FOLDER / "rules.json").read_text())
    results = list(Template(rules).rewrite(short))
    assert [one.prompt for one in results] == asked
    assert asked == read_list(QUICKSTART / f"prompts_{group}.txt")[:100]
    assert not set(short) & set(asked)
