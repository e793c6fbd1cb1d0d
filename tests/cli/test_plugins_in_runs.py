"""Plugins in real runs: in one process and in two, from a checkpoint, and when they are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import write_config

from vidiff.__main__ import main

ATTENTION = "model.init_args.denoiser.init_args.attention"


@pytest.fixture
def other_file(block_file: Path) -> Path:
    """A second plugin, with a patchifier called ``other``."""
    file = block_file.with_name("other_block.py")
    text = block_file.read_text().replace("attention", "patchifiers").replace("loose", "other")
    text = text.replace("Loose", "Other")
    file.write_text(text.replace("Full)", "Tubelet)").replace("import Full", "import Tubelet"))
    return file


def test_two_processes_load_the_plugins_of_the_config_and_of_the_flag(
    vidiff: Any, block_file: Path, other_file: Path, tmp_path: Path
) -> None:
    changes = {ATTENTION: "loose", "trainer.strategy": "ddp", "trainer.devices": 2}
    changes["plugins"] = ["../blocks/loose_block.py"]  # from the config's folder
    (tmp_path / "configs").mkdir()
    config = write_config(tmp_path / "configs" / "c.yaml", changes)
    patchifier = "--model.denoiser.patchifier=other"
    size = "--model.denoiser.patchifier.patch_size=[1,8,8]"
    done = vidiff("fit", "-c", config, "--plugins", "blocks/other_block.py", patchifier, size)
    assert done.returncode == 0, done.stderr
    assert "MEMBER: 2/2" in done.stderr
    saved = yaml.safe_load((config.parent / "run" / "config.yaml").read_text())
    assert saved["plugins"] == [str(block_file), str(other_file)]
    denoiser = saved["model"]["init_args"]["denoiser"]["init_args"]
    assert denoiser["attention"]["class_path"] == "loose_block.Loose"
    assert denoiser["patchifier"]["class_path"] == "other_block.Other"


@pytest.mark.usefixtures("forget_plugins")
def test_a_checkpoint_loads_its_plugins_again_and_says_so_if_they_are_missing(
    vidiff: Any, block_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path / "c.yaml", {ATTENTION: "loose"})
    monkeypatch.chdir(block_file.parent)
    assert main(["fit", "-c", str(config), "--plugins", block_file.name]) == 0
    monkeypatch.chdir(tmp_path)  # the saved config holds from anywhere
    saved = tmp_path / "run" / "config.yaml"
    assert main(["validate", "-c", str(saved), "--ckpt_path=last"]) == 0  # it names the plugin
    without = write_config(tmp_path / "without.yaml")
    missing = vidiff("validate", "-c", without, "--ckpt_path=last")
    assert missing.returncode == 2
    error = missing.stderr.splitlines()[-1]
    assert "No module named 'loose_block'" in error
    assert "--plugins" in error
    assert "Traceback" not in missing.stderr
