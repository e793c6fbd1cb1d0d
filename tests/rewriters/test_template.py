"""Rules and templates against their closed form."""

from __future__ import annotations

import pytest

from vidiff.rewriters import Rewritten, Template

SHORT = {
    r"^(\w+) (\w+), (left|right|up|down)$": r"a \1 \2 moves \3",
    r"^(\w+) (\w+), still$": r"a \1 \2 stays still",
}


def test_short_prompts_become_captions() -> None:
    results = list(Template(SHORT).rewrite(["red square, left", "cyan cross, still", "a dog"]))
    assert [one.prompt for one in results] == [
        "a red square moves left", "a cyan cross stays still", "a dog",
    ]  # fmt: skip
    assert [one.original for one in results] == ["red square, left", "cyan cross, still", "a dog"]


def test_the_template_of_a_prompt_depends_on_the_seed_and_its_text_only() -> None:
    templates = [f"{number}: {{prompt}}" for number in range(5)]
    prompts = [f"prompt {number}" for number in range(40)]

    def texts(seed: int, prompts: list[str]) -> list[str]:
        return [one.prompt for one in Template({}, templates, seed).rewrite(prompts)]

    drawn = texts(0, prompts)
    assert drawn == texts(0, prompts[::-1])[::-1]
    assert drawn != texts(1, prompts)
    assert {text[0] for text in drawn} == set("01234")
    assert all(text.endswith(prompt) for text, prompt in zip(drawn, prompts, strict=True))


def test_braces_of_a_prompt_are_no_slots() -> None:
    (one,) = Template(templates=["<{prompt}>"]).rewrite(["a {prompt} {x}"])
    assert one == Rewritten("a {prompt} {x}", "<a {prompt} {x}>")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"templates": []}, "contain {prompt}"),
        ({"templates": ["a video"]}, "contain {prompt}"),
        ({"rules": {"(": ""}}, r"'\(': '' is no regular expression"),
        ({"rules": {"(a)": r"\2"}}, "invalid group reference"),
    ],
)
def test_what_cannot_be_used_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Template(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "prompt"),
    [
        ("  A dog\n runs. ", "A dog runs."),
        ('"A dog runs."', "A dog runs."),
        ("“A dog runs.”", "A dog runs."),
        ('"A dog" runs "far"', '"A dog" runs "far"'),  # no quotation marks around all
    ],
)
def test_an_answer_becomes_one_line_without_quotation_marks(answer: str, prompt: str) -> None:
    assert Rewritten.answered("dog", answer) == Rewritten("dog", prompt)


@pytest.mark.parametrize("answer", ["", " \n", '""', None, 3, "x" * 4001])
def test_an_unusable_answer_keeps_the_prompt(answer: object) -> None:
    one = Rewritten.answered("dog", answer)
    assert one.prompt == "dog"
    assert one.problem
