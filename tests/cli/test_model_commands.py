"""Commands with a trainer, a model and data: a plugin adds one of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import write_config

from vidiff.__main__ import main
from vidiff.testing import check_component

PLUGIN = '''
from __future__ import annotations

from typing import TYPE_CHECKING

from vidiff.commands import ModelCommand
from vidiff.registry import register

if TYPE_CHECKING:
    from vidiff.training import DiffusionTask
    from vidiff.training.data import VideoDataModule
    from vidiff.training.trainer import VidiffTrainer


@register("latents-mean")
class LatentsMean(ModelCommand):
    """Print the mean of the training latents."""

    def work(
        self,
        trainer: VidiffTrainer,
        model: DiffusionTask,
        datamodule: VideoDataModule,
        num_batches: int = 1,
        digits: int = 3,
    ) -> None:
        """Encode batches one after the other.

        Args:
            num_batches: how many are encoded.
            digits: that are printed.
        """
        model.configure_model()
        batches = zip(range(num_batches), datamodule.train_dataloader())
        means = [model.autoencoder.encode(batch.pixels).mean() for _, batch in batches]
        print(f"{trainer.max_steps} steps, mean {sum(means) / num_batches:.{digits}f}")
'''


@pytest.fixture
def plugin(tmp_path: Path, forget_plugins: None) -> Path:
    path = tmp_path / "latents_mean.py"
    path.write_text(PLUGIN)
    return path


def test_a_plugins_command_gets_what_the_config_says_and_its_own_options(
    plugin: Path, tmp_path: Path, capsys: Any
) -> None:
    config = write_config(tmp_path / "tiny.yaml", {"plugins": [str(plugin)]})
    words = ["latents-mean", "-c", str(config), "--trainer.max_steps=7", "--num_batches=2"]
    assert main([*words, "--digits", "1"]) == 0
    steps, _, mean = capsys.readouterr().out.strip().splitlines()[-1].partition(", mean ")
    assert steps == "7 steps"
    assert -1 < float(mean) < 1
    assert len(mean.lstrip("-")) == len("0.5")
    check_component("command", "latents-mean")


def test_its_options_are_shown_and_checked(plugin: Path, refused: Any, capsys: Any) -> None:
    assert main(["latents-mean", "--plugins", str(plugin), "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("vidiff latents-mean: Print the mean of the training latents.")
    assert ["--num_batches", "how", "many", "are", "encoded", "(default:", "1)"] in [
        line.split() for line in page.splitlines()
    ]
    assert "--datamodule" not in page
    assert "--model" in page
    error = refused("latents-mean", "--plugins", plugin, "--model=DiffusionTask", "--digit=1")
    assert error.startswith("unknown option 'digit', did you mean 'digits'?")
    error = refused("latents-mena", "--plugins", plugin)
    assert error.startswith("unknown command 'latents-mena', did you mean 'latents-mean'?; known: ")


def test_help_lists_it_and_imports_no_lightning(plugin: Path) -> None:
    code = (
        "import sys; from vidiff.__main__ import main;"
        f"main(['--help', '--plugins', {str(plugin)!r}]);"
        "sys.exit('lightning' in sys.modules or 'jsonargparse' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    lines = [line.split() for line in ran.stdout.splitlines()]
    names = [words[0] for words in lines if words]
    assert ["latents-mean", "Print", "the", "mean"] in [words[:4] for words in lines]
    order = ["fit", "validate", "test", "sample", "encode", "latents-mean", "ablate"]
    assert [name for name in names if name in order] == order
