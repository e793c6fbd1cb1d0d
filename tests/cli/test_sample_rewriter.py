"""``vidiff sample --rewriter``: rewritten prompts are sampled, the originals are kept beside."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import write_config

from vidiff.__main__ import main

sys.path.append(str(Path(__file__).parents[1] / "rewriters"))
from endpoint import Reply, completion, fuller, serving

KEY = "sk-this-is-a-secret"
RULES = '{"^(\\\\w+) (\\\\w+), left$": "a \\\\1 \\\\2 moves left"}'


@pytest.fixture(scope="module")
def done(tmp_path_factory: Any) -> Path:
    """A config whose run has been trained for two steps."""
    config = write_config(tmp_path_factory.mktemp("rewriter") / "c.yaml", {})
    assert main(["fit", "-c", str(config)]) == 0
    return config


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def sample(done: Path, output: Path, prompts: str, *words: str) -> int:
    given = ["--ckpt_path=last", f"--prompts={prompts}", f"--output={output}", "--num_steps=1"]
    return main(["sample", "-c", str(done), *given, *words])


def read(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]


def test_the_rewritten_prompt_is_sampled(done: Path, tmp_path: Path) -> None:
    rules = ["--rewriter", "template", "--rewriter.rules", RULES]
    assert sample(done, tmp_path / "short", "red square, left;b", *rules) == 0
    assert sample(done, tmp_path / "long", "a red square moves left;b") == 0
    short, long = read(tmp_path / "short"), read(tmp_path / "long")
    assert [row["prompt"] for row in short] == ["a red square moves left", "b"]
    assert [row["original_prompt"] for row in short] == ["red square, left", "b"]
    assert [row["prompt"] for row in long] == ["a red square moves left", "b"]
    assert "original_prompt" not in long[0]
    assert short[0]["file"] == "00000-red-square-left.mp4"
    assert short[0]["settings"]["rewriter"]["init_args"]["seed"] == 0
    for one, other in zip(short, long, strict=True):
        assert (tmp_path / "short" / one["file"]).read_bytes() == (
            tmp_path / "long" / other["file"]
        ).read_bytes()


def test_an_endpoint_that_fails_leaves_the_prompt_and_the_key_is_nowhere(
    done: Path, tmp_path: Path, caplog: Any
) -> None:
    def answer(prompt: str, number: int) -> Reply:
        return (500, b"{}") if prompt == "dog" else fuller(prompt, number)

    output = tmp_path / "samples"
    with serving(answer) as endpoint:
        chat = ["--rewriter", "chat", "--rewriter.model", "m", "--rewriter.retries", "0"]
        chat += ["--rewriter.base_url", endpoint.url]
        assert sample(done, output, "cat;dog", *chat) == 0
        asked = len(endpoint.requests)
        (output / "00001-dog.mp4").unlink()  # as if the call had been cut off
        (output / "samples.jsonl").unlink()
        assert sample(done, output, "cat;dog", *chat) == 0
        assert len(endpoint.requests) == asked, "texts are kept in the folder"
    rows = read(output)
    assert [row["prompt"] for row in rows] == ["cat, filmed at dawn", "dog"]
    assert rows[1]["rewrite_problem"] == "the endpoint answers with status 500"
    assert "rewrite_problem" not in rows[0]
    assert "1 of 2 prompts are sampled as they are: the endpoint answers" in caplog.text
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not any(KEY.encode() in file.read_bytes() for file in files)


def test_a_refused_key_is_one_line_and_leaves_no_folder(
    done: Path, tmp_path: Path, capsys: Any
) -> None:
    output = tmp_path / "samples"
    with serving(lambda prompt, number: (401, completion("no"))) as endpoint:
        chat = ["--rewriter", "chat", "--rewriter.model", "m"]
        assert sample(done, output, "cat", *chat, "--rewriter.base_url", endpoint.url) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "refuses model 'm' with status 401, the key is wrong" in error
    assert KEY not in error
    assert not output.exists()
