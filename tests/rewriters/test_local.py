"""The rewriter ``local`` against transformers called directly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from language_models import save_causal_lm

from vidiff.rewriters import Local

PROMPTS = ["a red square moves left", "blue circle", "", "a red square moves left"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_causal_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDIFF_CACHE", str(tmp_path / "cache"))


def local(folder: Path, **settings: Any) -> Local:
    return Local(str(folder), **({"max_new_tokens": 6, "dtype": "float32"} | settings))


def test_answers_are_those_of_the_model_whatever_the_batch(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    expected = []
    for prompt in PROMPTS[:2]:
        given = tokenizer(f"system : prompt user : {prompt} new :", return_tensors="pt")
        out = model.generate(
            input_ids=given["input_ids"], attention_mask=given["attention_mask"],
            do_sample=False, max_new_tokens=6,
        )  # fmt: skip
        new = out[0, given["input_ids"].shape[1] :]
        expected.append(" ".join(tokenizer.decode(new, skip_special_tokens=True).split()))
    for batch_size in (1, 8):
        rewriter = local(folder, system="prompt", batch_size=batch_size, cache=False)
        results = list(rewriter.rewrite(PROMPTS))
        assert [one.prompt for one in results] == [*expected, "", expected[0]]
    assert all(expected)


def test_draws_depend_on_the_seed_and_the_prompt_only(folder: Path) -> None:
    def texts(prompts: list[str], seed: int = 0) -> list[str]:
        rewriter = local(folder, temperature=1.0, seed=seed, cache=False)
        return [one.prompt for one in rewriter.rewrite(prompts)]

    assert texts(PROMPTS)[:2] == texts(PROMPTS[1::-1])[::-1]
    assert texts(PROMPTS) != texts(PROMPTS, seed=1)


def test_an_answer_is_kept_on_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = list(local(folder).rewrite(PROMPTS))

    def fail(*args: Any) -> Any:
        raise AssertionError("the model is loaded again")

    monkeypatch.setattr(Local, "_load", fail)
    assert list(local(folder).rewrite(PROMPTS)) == first


def test_a_model_without_a_chat_template(tmp_path: Path) -> None:
    folder = save_causal_lm(tmp_path / "plain", chat_template=False)
    (one,) = local(folder).rewrite(["red square"])
    assert one.original == "red square"


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: None, "does not exist: give one that holds a causal language model"),
        (lambda folder: folder.mkdir(), "holds no config.json"),
        (
            lambda folder: [file.unlink() for file in save_causal_lm(folder).glob("tokenizer*")],
            "holds no tokenizer",
        ),
        (
            lambda folder: (save_causal_lm(folder) / "model.safetensors").write_bytes(b"{"),
            "cannot be loaded as a causal language model",
        ),
    ],
)
def test_folders_that_hold_no_model(tmp_path: Path, prepare: Any, said: str) -> None:
    folder = tmp_path / "folder"
    prepare(folder)
    with pytest.raises(ValueError, match=said) as told:
        next(local(folder).rewrite(["a"]))
    assert "\n" not in str(told.value)
