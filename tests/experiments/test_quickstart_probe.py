"""The demo says how long it will take: steps timed, times their number."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import yaml
from scripts import EXPERIMENTS, load_script

QUICKSTART = EXPERIMENTS / "quickstart"


@pytest.fixture
def probe() -> ModuleType:
    return load_script("quickstart/probe.py")


def max_steps(name: str) -> int:
    return int(yaml.safe_load((QUICKSTART / name).read_text())["trainer"]["max_steps"])


def test_each_training_counts_its_own_steps(
    probe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"autoencoder.yaml": 0.5, "latent.yaml": 2.0}
    monkeypatch.setattr(probe, "time_step", lambda config, folder, *options: seconds[config.name])
    parts = probe.estimate("latent", tmp_path)
    assert parts["autoencoder"] == 0.5 * max_steps("autoencoder.yaml")
    assert parts["diffusion transformer"] == 2.0 * max_steps("latent.yaml")
    node = yaml.safe_load((QUICKSTART / "latent.yaml").read_text())
    steps = node["model"]["init_args"]["sampler"]["init_args"]["num_steps"]
    prompts = sum(len(p.read_text().splitlines()) for p in QUICKSTART.glob("prompts_*.txt"))
    clips = prompts * steps * 2 / 3  # guided: twice; forward only: a third of a training step
    assert parts["samples and scores"] == pytest.approx(2.0 * clips / node["data"]["batch_size"])


def test_the_pixel_way_has_no_autoencoder(
    probe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "time_step", lambda *arguments: 1.0)
    parts = probe.estimate("pixel", tmp_path)
    assert "autoencoder" not in parts
    assert parts["diffusion transformer"] == max_steps("pixel.yaml")


def test_steps_of_a_config_are_timed(probe: ModuleType, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    node = yaml.safe_load((QUICKSTART / "pixel.yaml").read_text())
    node["data"]["batch_size"] = 2
    node["model"]["init_args"]["denoiser"]["init_args"] |= {"width": 16, "depth": 1, "num_heads": 1}
    config.write_text(yaml.safe_dump(node))
    assert probe.time_step(config, tmp_path / "run") > 0


def test_a_training_that_fails_is_quoted(probe: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"fit .* failed: .*absent\.yaml"):
        probe.time_step(tmp_path / "absent.yaml", tmp_path / "run")
