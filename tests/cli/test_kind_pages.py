"""What an author sees of a kind, and of the kinds that Lightning owns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import callbacks, loggers

import vidiff.training.callbacks as ours
from vidiff.__main__ import main
from vidiff.commands.lightning_parts import LIGHTNING, lightning_parts
from vidiff.plugins import load_all, load_plugins
from vidiff.registry import list_kinds

load_all()


def page(capsys: Any, *words: str) -> str:
    assert main(["components", *words]) == 0
    return str(capsys.readouterr().out)


def test_a_kind_says_what_it_promises_and_shows_one_to_copy(capsys: Any) -> None:
    shown = page(capsys, "show", "attention")
    assert shown.startswith("kind attention: vidiff.attention.base.Attention (")
    assert "One block's self-attention: decides which tokens see which." in shown
    assert "forward(tokens: Tensor, layout: Layout, mask: Tensor | None = None) -> Tensor" in shown
    assert "Mix tokens." in shown
    assert "(b, k + n, d)" in shown
    assert "Or extend vidiff.attention.multi_head.MultiHead" in shown
    assert "  width: int, of a token." in shown
    assert "  full         Multi-head attention over all tokens at once." in shown
    assert '    @register("full")\n    class Full(MultiHead):' in shown
    assert (
        "    from vidiff.attention import Attention\n    from vidiff.registry import reg" in shown
    )
    assert '    @register("my_attention")\n    class MyAttention(Attention):' in shown
    assert shown.endswith("Check it: vidiff check my_attention.py\n")


def test_the_example_is_the_shortest_file_of_the_kind(capsys: Any) -> None:
    shown = json.loads(page(capsys, "show", "sampler", "--json"))
    example = shown["example"]
    files = {len(file.read_text().splitlines()) for file in Path("vidiff/samplers").glob("*.py")}
    assert example["lines"] == len(example["code"].splitlines())
    assert example["lines"] in files
    assert f'@register("{example["name"]}")' in example["code"]
    assert [method["name"] for method in shown["methods"]] == ["walk"]
    assert {row["name"] for row in shown["components"]} >= {"euler", "heun"}


@pytest.mark.parametrize("kind", [*(kind.name for kind in list_kinds()), *LIGHTNING])
def test_every_kind_has_a_page_and_every_given_argument_a_line(kind: str, capsys: Any) -> None:
    shown = json.loads(page(capsys, "show", kind, "--json"))
    assert shown["doc"]
    assert shown["components"]
    assert all(method["doc"] for method in shown["methods"])
    assert all(argument["doc"] for argument in shown["given"]), shown["given"]
    assert all(argument["type"] != "any" for argument in shown["given"])
    assert page(capsys, "show", kind).startswith(f"kind {kind}: ")


def test_callbacks_and_loggers_are_those_that_there_are() -> None:
    listed = {part.name: part.load().cls for part in lightning_parts()}
    for module, names in ((callbacks, LIGHTNING["callback"]), (loggers, LIGHTNING["logger"])):
        assert all(listed[name] is getattr(module, name) for name in names)
    own = {n for n in ours.__all__ if n[0].isupper()}
    assert own | {"EvaluateSamples"} == set(listed) - {n for k in LIGHTNING.values() for n in k}
    assert all(part.summary for part in lightning_parts())


def test_a_callback_is_shown_with_its_arguments(capsys: Any) -> None:
    assert "callback  SampleVideos" in page(capsys, "callback")
    assert "logger  CSVLogger          lightning  Writes" in page(capsys, "logger")
    shown = page(capsys, "show", "SampleVideos")
    assert shown.startswith("callback SampleVideos: vidiff.training.callbacks.sample_videos.Samp")
    assert "every_n_steps: int" in shown
    assert "  save_top_k: int = 1" in page(capsys, "show", "callback.ModelCheckpoint")
    assert "--trainer.callbacks+=my_callback.MyCallback" in page(capsys, "show", "callback")


@pytest.mark.usefixtures("forget_plugins")
def test_callbacks_of_a_plugin_are_listed(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "told.py").write_text(
        "from lightning.pytorch import Callback\n"
        "from vidiff.attention import Full\n"
        "from vidiff.registry import register\n\n\n"
        '@register("told")\n'
        "class Told(Full):\n"
        '    """Full attention."""\n\n\n'
        "class Tell(Callback):\n"
        '    """Says something."""\n'
    )
    load_plugins([str(tmp_path / "told.py")])
    assert "Says something." in page(capsys, "callback")
    assert "callback Tell: told.Tell (told)" in page(capsys, "show", "Tell")
