"""Where a part lies, and where it is computed, may differ from the run that is gone on with."""

from typing import Any

from vidiff.cli.run_folder import differences


def node(**settings: Any) -> dict[str, Any]:
    path = "vidiff.conditions.huggingface.huggingface.HuggingFace"
    return {"conditions": {"text": {"class_path": path, "init_args": settings}}}


def test_places_of_what_a_folder_holds_are_free_and_other_settings_are_not() -> None:
    held = node(folder="t5", tokenizer="", device="auto", remember=0, layer=None)
    moved = node(folder="/models/t5", tokenizer="/models/t5", device="cpu", remember=9, layer=None)
    assert differences(moved, held) == []
    found = differences(node(folder="t5", tokenizer="", device="auto", remember=0, layer=2), held)
    assert found == ["model.conditions.text.layer: 2 in the config, None in the checkpoint"]
    found = differences(node(device="cpu", text_dim=3), node(device="auto", text_dim=3))
    assert found == ["model.conditions.text.device: 'cpu' in the config, 'auto' in the checkpoint"]
