"""A launcher of one's own is one file, and one word in an ablation file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ray_plugin import registered, vidiff_ray

from vidiff.ablation.ask.file import read_ablation
from vidiff.ablation.launchers import Launcher
from vidiff.plugins import load_plugins
from vidiff.registry import get_kind
from vidiff.testing import check_component

PLUGIN = '''
from vidiff.ablation.launchers import Local
from vidiff.registry import register


@register("elsewhere")
class Elsewhere(Local):
    """Runs here, and would run elsewhere."""
'''


def test_a_launcher_of_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launchers = get_kind("launcher").components
    (tmp_path / "launcher_elsewhere.py").write_text(PLUGIN)
    (plugin,) = load_plugins([str(tmp_path / "launcher_elsewhere.py")])
    monkeypatch.setitem(launchers, "elsewhere", launchers.pop("elsewhere"))  # for this test only
    check_component("launcher", "elsewhere")
    assert type(launcher_of("elsewhere", tmp_path)) is plugin.Elsewhere


def test_ray_is_one_word_once_its_plugin_is_there(tmp_path: Path) -> None:
    with registered():
        assert type(launcher_of("ray", tmp_path)) is vidiff_ray.Ray


def launcher_of(name: str, folder: Path) -> Launcher:
    file = {
        "question": "Which?", "base": "base.yaml", "axes": {"model.x": [1, 2]},
        "metrics": {"val/loss": "lower"}, "launcher": name,
    }  # fmt: skip
    (folder / "ablation.yaml").write_text(yaml.safe_dump(file))
    return read_ablation(folder / "ablation.yaml").launcher
