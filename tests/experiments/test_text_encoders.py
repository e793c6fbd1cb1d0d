"""The experiment of text encoders asks in words that it says it asks in."""

from __future__ import annotations

from pathlib import Path

import yaml

from vidiff.ablation.ask.file import read_ablation
from vidiff.captions import read_prompts
from vidiff.conditions import HuggingFace, Words
from vidiff.conditions.words import split_words
from vidiff.data import MovingShapes
from vidiff.data.moving_shapes import split_combinations
from vidiff.data.phrasings import WORDINGS, words_for
from vidiff.data.shapes import parse_caption
from vidiff.plugins import load_all
from vidiff_eval.metrics.prompt_accuracy import PromptAccuracy

FOLDER = Path(__file__).parents[2] / "experiments" / "text_encoders"


def test_both_files_ask_of_the_same_runs() -> None:
    load_all()
    asked = {name: read_ablation(FOLDER / f"{name}.yaml") for name in ("paraphrases", "known")}
    one, two = asked.values()
    assert (one.base, one.axes, one.seeds, one.runs) == (two.base, two.axes, two.seeds, two.runs)
    assert len(one.seeds) == 3
    cells = one.axes["text"]
    conditions = [next(iter(cell.values()))["class_path"] for cell in cells.values()]
    assert [name.rpartition(".")[2] for name in conditions] in (
        ["words", "huggingface"], [Words.__name__, HuggingFace.__name__],
    )  # fmt: skip
    for name, ablation in asked.items():
        assert Path(ablation.samples["prompts"]).name == f"prompts_{name}.txt"


def test_prompts_are_new_combinations_in_the_words_that_are_named() -> None:
    _, unseen = split_combinations(24)
    captions = {
        word for name in WORDINGS for text in words_for(name, "several")
        for word in split_words(text)
    }  # fmt: skip
    for name, known in (("paraphrases", False), ("known", True)):
        prompts = read_prompts(str(FOLDER / f"prompts_{name}.txt"))
        PromptAccuracy().check_prompts(prompts)
        asked = [parse_caption(prompt) for prompt in prompts]
        assert sorted(asked) == sorted([*unseen] * 4)
        assert len(set(prompts)) == len(prompts) == 96
        for prompt in prompts:
            words = set(split_words(prompt)) - {"a", "an"}
            assert (words <= captions) == known, prompt


def test_no_two_words_of_captions_share_a_row() -> None:
    base = yaml.safe_load((FOLDER / "base.yaml").read_text())
    assert base["data"]["dataset"]["init_args"]["phrasing"] == "several"
    settings = base["model"]["init_args"]["conditions"]["text"]["init_args"]
    encoder = Words(**settings)
    dataset = MovingShapes(split="train", phrasing="several")
    captions = [sample.caption for sample in dataset.__getitems__(range(500))]
    words = {word for caption in captions for word in split_words(caption)}
    assert len({encoder.row(word) for word in words}) == len(words)
