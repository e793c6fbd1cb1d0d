"""What is wrong with a folder or a setting is said in one line, before any weights are loaded."""

from __future__ import annotations

import builtins
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_encoders import model, save, tokenizer

from vidiff.conditions import HuggingFace
from vidiff.conditions.huggingface import encoder as encoders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "bert", "bert")


def refusal(folder: Path | str, read: bool = False, **settings: Any) -> str:
    """The message; ``read`` is what finds out what only the weights tell."""

    def attempt() -> None:
        encoder = HuggingFace(folder=str(folder), **settings)
        assert read, "it must be refused when it is built"
        encoder.read(["red"])

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - each caller looks at the message
        attempt()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_that_lacks_a_part_is_refused(folder: Path, capfd) -> None:
    assert "folder 'nowhere' does not exist" in refusal("nowhere")
    assert "nothing is downloaded" in refusal("google/umt5-xxl")
    assert "folder '' does not exist" in refusal("")
    tokenizer_files = [folder / "tokenizer.json", folder / "tokenizer_config.json"]
    kept = [file.read_bytes() for file in tokenizer_files]
    for file in tokenizer_files:
        file.unlink()
    assert "bert holds no tokenizer (none of tokenizer.json, vocab.txt" in refusal(folder)
    assert "elsewhere holds no tokenizer" in refusal(folder, tokenizer=str(folder / "elsewhere"))
    for file, content in zip(tokenizer_files, kept, strict=True):
        file.write_bytes(content)
    tokenizer_files[0].write_text("{")
    assert "the tokenizer in" in refusal(folder)
    weights = folder / "model.safetensors"
    weights.rename(folder / "model.fp16.safetensors")
    assert "holds no weights: it needs model.safetensors" in refusal(folder)
    assert "and holds config.json, model.fp16.safetensors" in refusal(folder)
    (folder / "config.json").unlink()
    assert "bert holds no config.json, so it is no folder" in refusal(folder)
    assert capfd.readouterr().err == "", "one line says it all"


def test_the_folder_of_another_thing_is_refused(folder: Path, tmp_path: Path, capfd) -> None:
    config = folder / "config.json"
    config.write_text("{")
    assert "config.json is no JSON" in refusal(folder)
    config.write_text('{"_class_name": "AutoencoderKL"}')
    assert "names no model_type but AutoencoderKL, so it is no text encoder" in refusal(folder)
    config.write_text('{"model_type": "unheard_of"}')
    assert "cannot be read as that of an encoder" in refusal(folder)
    config.write_text('{"model_type": "vit", "hidden_size": 16, "num_attention_heads": 2}')
    assert "holds a ViTModel, which cannot be read by text" in refusal(folder)
    assert capfd.readouterr().err == ""
    pipeline = tmp_path / "pipeline"
    save(pipeline / "text_encoder_2", "t5")
    assert "it has the encoders text_encoder_2: give one of these" in refusal(pipeline)


def test_weights_that_do_not_fit_are_refused_when_they_are_read(folder: Path, capfd) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    lost = "encoder.layer.0.output.dense.weight"
    save_file({k: v for k, v in weights.items() if k != lost}, file, {"format": "pt"})
    said = refusal(folder, read=True)
    assert f"lacks 1 tensors of BertModel, or has them in another shape, among them {lost}" in said
    save_file(weights | {lost: torch.zeros(2, 2)}, file, {"format": "pt"})
    assert "bert cannot be loaded: " in refusal(folder, read=True)
    file.write_bytes(b"damaged")
    assert "bert cannot be loaded: " in refusal(folder, read=True)
    assert capfd.readouterr().err == ""


def test_a_pooler_without_weights_is_refused_only_where_it_is_used(folder: Path) -> None:
    file = folder / "model.safetensors"
    kept = {k: v for k, v in load_file(file).items() if "pooler" not in k}
    save_file(kept, file, {"format": "pt"})
    HuggingFace(folder=str(folder)).read(["red"])
    assert "has no weights for the pooler" in refusal(folder, read=True, pooled="model")
    assert "for the pooler" in refusal(folder, pooled="model", frozen=False)


class Harmful:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harmed"),))


def test_a_file_that_would_run_code_is_refused(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Harmful()}, folder / "pytorch_model.bin")
    assert "cannot be loaded" in refusal(folder, read=True)
    config = json.loads((folder / "config.json").read_text())
    own_code = {"auto_map": {"AutoModel": "own.Model", "AutoConfig": "own.Config"}}
    (folder / "own.py").write_text("import pathlib; pathlib.Path('harmed').touch()")
    (folder / "config.json").write_text(json.dumps(config | own_code | {"model_type": "own"}))
    refusal(folder)
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 600}, "max_length is 600, and"),
        ({"max_length": 0}, "max_length must be at least 1, got 0"),
        ({"padding": "max_length"}, "padding: max_length needs max_length, the number of tokens"),
        ({"mask": "none"}, "set padding: max_length, and max_length"),
        ({"tokens": False, "pooled": "none"}, "leave no signal"),
        ({"device": "nowhere"}, "device 'nowhere' cannot be used here"),
        ({"frozen": False, "remember": 3}, "leave remember at 0"),
        ({"crop": -1}, "crop must be at least 0, got -1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder: Path, settings, message: str) -> None:
    assert message in refusal(folder, **settings)


def test_without_transformers_it_says_what_to_install(folder: Path, monkeypatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "transformers":
            raise ImportError("No module named 'transformers'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'vidiff[pretrained]'" in refusal(folder)


def test_every_way_that_weights_are_saved_is_read(tmp_path: Path) -> None:
    t5, single = model("t5"), save(tmp_path / "single", "t5")
    expected = HuggingFace(folder=str(single)).read(["a red square"]).tokens
    split, old = tmp_path / "text_encoder_2", tmp_path / "old"
    t5.save_pretrained(split, max_shard_size="4KB")
    assert len(list(split.glob("*.safetensors"))) > 1
    tokenizer("t5").save_pretrained(tmp_path / "tokenizer_2")  # as in a pipeline of diffusers
    shutil.copytree(single, old)
    (old / "model.safetensors").unlink()
    torch.save(t5.state_dict(), old / "pytorch_model.bin")
    for folder in (split, old):
        assert torch.equal(HuggingFace(folder=str(folder)).read(["a red square"]).tokens, expected)
    elsewhere = HuggingFace(folder=str(old), tokenizer=str(tmp_path / "tokenizer_2"))
    assert torch.equal(elsewhere.read(["a red square"]).tokens, expected)
    next(split.glob("*.safetensors")).unlink()
    assert "which is not beside it: copy the folder again" in refusal(split)


def test_it_is_loaded_once_for_all_that_use_it_and_by_the_first_prompt(
    folder: Path, monkeypatch
) -> None:
    loaded, original = [], encoders.load
    monkeypatch.setattr(encoders, "load", lambda *a: loaded.append(a) or original(*a))
    first = HuggingFace(folder=str(folder))
    other = HuggingFace(folder=str(folder), pooled="model", tokens=False, template="a {}")
    assert not loaded
    assert not list(first.parameters())
    for _ in range(2):
        first.read(["red"]), other.read(["red"])
    assert len(loaded) == 1
    HuggingFace(folder=str(folder), dtype="bfloat16").read(["red"])
    assert len(loaded) == 2
    del first, other
    HuggingFace(folder=str(folder)).read(["red"])
    assert len(loaded) == 3, "nothing holds an encoder that no condition uses"


def test_the_hash_is_of_what_decides_a_signal(folder: Path, tmp_path: Path) -> None:
    def content(place: Path) -> list[int]:
        return HuggingFace(folder=str(place)).content.tolist()

    before = content(folder)
    moved = Path(shutil.copytree(folder, tmp_path / "moved"))
    (moved / "README.md").write_text("of no effect")
    assert content(moved) == before
    for name in ("tokenizer.json", "config.json"):
        original = (moved / name).read_text()
        (moved / name).write_text(original + "\n")
        assert content(moved) != before, name
        (moved / name).write_text(original)
    assert content(moved) == before
