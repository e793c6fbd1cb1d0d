"""Plugins of an ablation's base config: found from its folder, and known by name in a run's id."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from vidiff.ablation.ask.cells import content_id
from vidiff.ablation.check.preparation import Preparation


def test_paths_start_at_the_base_config_and_are_absolute_in_every_run(tmp_path: Path) -> None:
    base = tmp_path / "configs" / "base.yaml"
    base.parent.mkdir()
    ablation: Any = SimpleNamespace(base=str(base), first=[], output=tmp_path)
    said = {"trainer": {"precision": "32-true"}}
    for named in (["../blocks/mine.py", "a.module"], "../blocks/mine.py, a.module"):
        base.write_text(yaml.safe_dump({"plugins": named, **said}))
        found = Preparation(ablation, ["/elsewhere/other.py"]).base["plugins"]
        assert found == [f"{tmp_path}/blocks/mine.py", "a.module", "/elsewhere/other.py"]
    base.write_text(yaml.safe_dump(said))
    assert Preparation(ablation).base == said


def test_a_run_is_the_same_wherever_its_plugins_lie() -> None:
    one, other, another = (
        content_id({"plugins": [plugin], "model": {}})
        for plugin in ("/a/block.py", "/b/c/block.py", "/a/other.py")
    )
    assert one == other != another
