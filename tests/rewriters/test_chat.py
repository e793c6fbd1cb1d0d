"""The rewriter ``chat`` against a real HTTP server that is slow, fails, and answers nonsense."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from endpoint import Reply, completion, fuller, serving, slowly

from vidiff.rewriters import Chat, Rewritten

KEY = "sk-this-is-a-secret"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return tmp_path


def chat(url: str, **settings: Any) -> Chat:
    return Chat("small", url, **({"retries": 0, "timeout": 5.0} | settings))


def test_prompts_are_rewritten_in_their_order_by_several_at_once() -> None:
    def answer(prompt: str, number: int) -> Reply:
        time.sleep(0.2 if prompt.endswith("1") else 0.02)
        return fuller(prompt, number)

    prompts = [f"dog {number}" for number in range(9)]
    with serving(answer) as endpoint:
        results = list(chat(endpoint.url, concurrency=3).rewrite(prompts))
    assert results == [Rewritten(prompt, f"{prompt}, filmed at dawn") for prompt in prompts]
    assert sorted(endpoint.prompts) == prompts
    assert 1 < endpoint.busiest <= 3
    assert endpoint.requests[0]["model"] == "small"
    assert endpoint.requests[0]["messages"][0]["role"] == "system"
    assert set(endpoint.keys) == {f"Bearer {KEY}"}


def test_a_prompt_is_asked_for_once_and_the_cache_holds_no_key(place: Path) -> None:
    with serving() as endpoint:
        first = list(chat(endpoint.url).rewrite(["dog", "cat", "dog", ""]))
        again = list(chat(endpoint.url).rewrite(["cat", "dog"]))
        assert sorted(endpoint.prompts) == ["cat", "dog"]
        list(chat(endpoint.url, temperature=0.5).rewrite(["dog"]))  # another question
        list(chat(endpoint.url, cache=False).rewrite(["dog"]))
        assert len(endpoint.requests) == 4
    assert [one.prompt for one in first] == [
        "dog, filmed at dawn", "cat, filmed at dawn", "dog, filmed at dawn", "",
    ]  # fmt: skip
    assert again == [first[1], first[0]]
    files = [file for file in place.rglob("*") if file.is_file()]
    assert len(files) == 3
    assert not any(KEY in file.read_text() for file in files)


def test_a_damaged_cache_file_is_asked_for_again(place: Path) -> None:
    with serving() as endpoint:
        list(chat(endpoint.url).rewrite(["dog"]))
        for file in (place / "cache").rglob("*.json"):
            file.write_text("{")
        assert next(chat(endpoint.url).rewrite(["dog"])).prompt == "dog, filmed at dawn"


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (lambda: (200, b"<html>busy</html>"), "malformed (JSONDecodeError)"),
        (lambda: (200, b"[]"), "malformed (AttributeError)"),
        (lambda: (200, b'{"choices": []}'), "malformed (IndexError)"),
        (lambda: (200, b""), "malformed (JSONDecodeError)"),
        (lambda: (200, completion("")), "empty"),
        (lambda: (200, completion(None)), "not text"),
        (lambda: (200, completion(["a"])), "not text"),
        (lambda: (200, completion("x" * 10_000)), "10,000 characters; 4,000 are allowed"),
        (lambda: (200, completion("x" * 10_000_000)), "more than 1 MiB"),
        (lambda: (200, slowly(completion("dog"), 0.05)), "no whole answer within 0.6 s"),
        (lambda: (500, b"{}"), "status 500"),
        (lambda: (429, b"{}"), "status 429"),
        (lambda: (400, b'{"error": {"message": "bad"}}'), "status 400"),
    ],
)
def test_a_prompt_without_a_usable_answer_is_kept_and_the_others_are_not(
    reply: Any, problem: str
) -> None:
    def answer(prompt: str, number: int) -> Reply:
        return reply() if prompt == "bad" else fuller(prompt, number)

    with serving(answer) as endpoint:
        rewriter = chat(endpoint.url, timeout=0.6)
        good, bad, other = rewriter.rewrite(["dog", "bad", "cat"])
    assert bad.prompt == bad.original == "bad"
    assert problem in bad.problem
    assert [good.prompt, other.prompt] == ["dog, filmed at dawn", "cat, filmed at dawn"]


def test_no_answer_in_time() -> None:
    def answer(prompt: str, number: int) -> Reply:
        time.sleep(1.0)
        return fuller(prompt, number)

    with serving(answer) as endpoint:
        (one,) = chat(endpoint.url, timeout=0.2).rewrite(["dog"])
    assert one == Rewritten.kept("dog", "no answer within 0.2 s")


def test_an_endpoint_that_fails_twice_is_asked_again() -> None:
    def answer(prompt: str, number: int) -> Reply:
        return (503, b"{}") if number < 2 else fuller(prompt, number)

    with serving(answer) as endpoint:
        (one,) = chat(endpoint.url, retries=2).rewrite(["dog"])
        assert one.prompt == "dog, filmed at dawn"
        assert len(endpoint.requests) == 3


def test_an_endpoint_that_is_not_there_keeps_all_prompts() -> None:
    results = list(chat("http://127.0.0.1:9/v1").rewrite(["dog", "cat"]))
    assert [one.problem for one in results] == ["the endpoint cannot be reached"] * 2


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_model_ends_the_call_without_printing_the_key(status: int) -> None:
    def answer(prompt: str, number: int) -> Reply:
        return status, f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'.encode()

    with serving(answer) as endpoint, pytest.raises(ValueError, match=f"status {status}") as told:
        list(chat(endpoint.url).rewrite(["dog", "cat", "bird"]))
    assert KEY not in str(told.value)
    assert "OPENAI_API_KEY" in str(told.value)
    assert told.value.__suppress_context__
    assert len(endpoint.requests) == 1, "no other prompt is tried"


def test_a_budget_ends_the_questions() -> None:
    with serving() as endpoint:  # each question takes 10 tokens
        results = list(
            chat(endpoint.url, budget=25, concurrency=1).rewrite([f"dog {n}" for n in range(6)])
        )
    assert [bool(one.problem) for one in results] == [False] * 3 + [True] * 3
    assert results[-1].problem == "the budget of 25 tokens is used up"
    assert len(endpoint.requests) == 3


def test_tokens_that_an_endpoint_does_not_count_are_estimated() -> None:
    def answer(prompt: str, number: int) -> Reply:
        return 200, completion("x" * 400, tokens=None)

    with serving(answer) as endpoint:
        results = list(
            chat(endpoint.url, budget=100, concurrency=1, system="").rewrite(["a", "b", "c"])
        )
    assert [bool(one.problem) for one in results] == [False, True, True]


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match="set the environment variable OPENAI_API_KEY"):
        next(Chat("small").rewrite(["dog"]))
    monkeypatch.setenv("MY_KEY", "mine")
    with serving() as endpoint:
        next(chat(endpoint.url).rewrite(["dog"]))  # a local endpoint needs none
        next(chat(endpoint.url, key_name="MY_KEY").rewrite(["cat"]))
    assert endpoint.keys[1] == "Bearer mine"


@pytest.mark.parametrize("key", ["sk-secr\u00e9t", "sk-sec\nret"])
def test_a_key_that_no_header_can_hold_is_refused(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with (
        serving() as endpoint,
        pytest.raises(ValueError, match="OPENAI_API_KEY has letters beyond ASCII") as told,
    ):
        next(chat(endpoint.url).rewrite(["dog"]))
    assert "sec" not in str(told.value)
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"base_url": "localhost:8000"}, "base_url must be like http"),
        ({"base_url": "http://me:secret@host/v1"}, "base_url holds a password"),
        ({"base_url": "http://host/v1?key=secret"}, "base_url holds a password"),
        ({"temperature": 3.0}, "temperature"),
        ({"timeout": 0.0}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"concurrency": 0}, "concurrency"),
        ({"budget": 0}, "budget"),
    ],
)
def test_wrong_settings_are_refused_when_it_is_built(settings: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as told:
        Chat("small", **settings)
    assert "secret" not in str(told.value)
