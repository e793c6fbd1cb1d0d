"""``vidiff ablate`` from a file to its report: the command as a user calls it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from processes import processes_with, wait
from small_config import small_config

from vidiff.__main__ import main
from vidiff.ablation.check.preparation import SOLVED
from vidiff.ablation.run.runner import Runner

TINY = small_config({
    "trainer": {
        "accelerator": "cpu", "devices": 1, "max_steps": 4, "log_every_n_steps": 1,
        "val_check_interval": 2, "limit_val_batches": 1, "num_sanity_val_steps": 0,
        "callbacks": [{"class_path": "SaveCheckpoint", "init_args": {"every_n_steps": 2}}],
    },
    "model.denoiser.width": 16,
    "model.sampler": {"class_path": "euler", "init_args": {"num_steps": 2}},
    "data.dataset.speed": [1.0, 2.0],
    "data.dataset.num_videos": 64,
    "data.dataset.num_val_videos": 2,
})  # fmt: skip
FILE: dict[str, Any] = {
    "question": "Which block?",
    "base": "base.yaml",
    "axes": {"model.denoiser.conditioning": ["adaln_zero", "in_context"]},
    "seeds": [0, 1],
    "samples": {"prompts": "a red square moves left; a cyan cross stays still", "scale": 1},
    "evaluation": {"metrics": "prompt_accuracy", "protocol": "whole"},
    "metrics": {"prompt_accuracy": "higher", "val/loss": "lower"},
    "launcher": {"class_path": "local", "init_args": {"num_at_once": 2}},
}


def write(folder: Path, base: dict[str, Any] | None = None, **changes: Any) -> Path:
    (folder / "base.yaml").write_text(yaml.safe_dump(base or TINY, sort_keys=False))
    file = {**FILE, "output": str(folder / "out"), **changes}
    path = folder / "ablation.yaml"
    path.write_text(yaml.safe_dump(file, sort_keys=False))
    return path


def written(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "out" / "results.json").read_text()))


def steps_of(folder: Path) -> list[int]:
    return sorted(
        torch.load(path, weights_only=True)["global_step"]
        for path in (folder / "out" / "runs").glob("*/train/checkpoints/last.ckpt")
    )


def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(
        tmp_path,
        axes={
            "model.denoiser.conditioning": ["adaln_zero", "adaln_zeor"],
            "model.denoiser.num_heads": [2, 3],
            "trainer.max_step": [3, 4],
        },
        samples={"prompts": "a red square moves left", "num_step": 3},
        evaluation={"metrics": "prompt_acuracy"},
    )
    assert main(["ablate", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("vidiff: error: ")]
    for said in (
        "unknown conditioning 'adaln_zeor', did you mean 'adaln_zero'",
        "max_step",
        "unknown option 'num_step', did you mean 'num_steps'",
        "unknown metric 'prompt_acuracy'",
    ):
        assert any(said in line for line in errors), (said, errors)
    assert lines[-1] == f"vidiff: {len(errors)} errors; nothing was started"
    assert not list(tmp_path.glob("out/runs/*"))


def test_a_dry_run_shows_the_cells_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = {**TINY, "trainer": {**TINY["trainer"], "max_steps": 400}}
    path = write(tmp_path, base, match={"equal": "flops"})
    assert main(["ablate", str(path), "--dry-run"]) == 0
    out = capsys.readouterr().out
    rows = {line.split("  ")[0]: line for line in out.splitlines()}
    assert "parameters" in out.splitlines()[0]
    assert "adaln_zero (baseline)" in rows
    assert "trainer.max_steps=" in rows["in_context"]
    assert "4 runs;" in out
    for metric in ("prompt_accuracy", "val/loss"):
        said = f"No verdict by {metric} is possible with any number of seeds: a test over 2 prompts"
        assert said in out, "two prompts, and one batch of two clips"
    assert not list((tmp_path / "out" / "runs").glob("*/train"))


def test_plugins_of_the_command_line_are_plugins_of_every_run(tmp_path: Path) -> None:
    ours, given = tmp_path / "ours.py", tmp_path / "given.py"
    ours.write_text("")
    given.write_text("")
    path = write(tmp_path, {**TINY, "plugins": [str(ours)]})
    assert main(["ablate", str(path), "--dry-run", "--plugins", str(given)]) == 0
    configs = list((tmp_path / "out" / "runs").glob("*/config.yaml"))
    assert len(configs) == 4
    for config in configs:
        assert yaml.safe_load(config.read_text())["plugins"] == [str(ours), str(given)]


def test_an_ablation_runs_to_its_report_and_a_second_call_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, seeds=[0])
    assert main(["ablate", str(path), "--only", "conditioning=adaln_zero"]) == 0
    first = written(tmp_path)
    assert (first["status"]["done"], first["status"]["missing"]) == (1, 1)
    before = {p: p.stat().st_mtime for p in (tmp_path / "out" / "runs").rglob("*.ckpt")}
    # A run is a config that stands alone.
    (config, *_) = (tmp_path / "out" / "runs").glob("*/config.yaml")
    alone = f"--trainer.default_root_dir={tmp_path / 'alone'}"
    assert main(["fit", "-c", str(config), alone, "--trainer.max_steps=1"]) == 0
    assert main(["ablate", str(path)]) == 0
    results = written(tmp_path)
    assert (results["status"]["done"], results["status"]["runs"]) == (2, 2)
    assert all(p.stat().st_mtime == time_ for p, time_ in before.items())
    assert steps_of(tmp_path) == [4, 4]
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
    assert [row["seed"] for row in rows] == ["0", "0"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Which block?" in page
    assert "in_context" in (tmp_path / "out" / "report.md").read_text()
    capsys.readouterr()
    monkeypatch.setattr(Runner, "run", None)  # a report looks at what is there
    assert main(["ablate", str(path), "--report"]) == 0
    assert "written:" in capsys.readouterr().out


def test_before_anything_ran_there_is_nothing_to_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    assert main(["ablate", str(path), "--report"]) == 2
    assert "no run of" in capsys.readouterr().err
    assert main(["ablate", str(path), "--only", "seed=9"]) == 2
    assert "--only seed=9: seed has no such value" in capsys.readouterr().err
    assert main(["ablate", str(path), "--only", "sed=0"]) == 2
    assert "unknown axis, did you mean 'seed'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_and_called_again_at_most_a_checkpoint_interval_is_lost(
    tmp_path: Path, number: signal.Signals
) -> None:
    """And the result is that of a call that nobody disturbed, bit for bit."""
    base = yaml.safe_load(yaml.safe_dump(TINY))
    base["trainer"] |= {"max_steps": 200, "val_check_interval": 100}
    base["data"]["dataset"]["init_args"]["num_videos"] = 1000  # an epoch is longer than that
    base["trainer"]["callbacks"][0]["init_args"]["every_n_steps"] = 20
    changes = {"seeds": [0], "launcher": "local"}
    calm, hurt = tmp_path / "calm", tmp_path / "hurt"
    for folder in (calm, hurt):
        folder.mkdir()
    assert main(["ablate", str(write(calm, base, **changes))]) == 0
    path = write(hurt, base, **changes)
    command = [sys.executable, "-m", "vidiff", "ablate", str(path)]
    for kill_at in (60, 140):
        process = subprocess.Popen(
            command, start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        wait(lambda kill_at=kill_at: _last_step(hurt) >= kill_at)
        os.kill(process.pid, number)
        process.wait()
        if number == signal.SIGKILL:  # what runs a job dies with it, as when a machine goes down
            for pid in processes_with(str(hurt / "out")):
                os.kill(pid, signal.SIGKILL)
    assert main(["ablate", str(path)]) == 0
    for run in (calm / "out" / "runs").iterdir():
        ours = torch.load(run / "train/checkpoints/last.ckpt", weights_only=True)
        twin = hurt / "out" / "runs" / run.name
        theirs = torch.load(twin / "train/checkpoints/last.ckpt", weights_only=True)
        for name, value in ours["state_dict"].items():
            assert torch.equal(value, theirs["state_dict"][name]), name
    states = [json.loads(p.read_text()) for p in (hurt / "out" / "runs").glob("*/state.json")]
    assert max(state["attempts"] for state in states) > 1


def _last_step(folder: Path) -> int:
    paths = (folder / "out" / "runs").glob("*/train/checkpoints/step_*.ckpt")
    return max((int(path.stem.removeprefix("step_")) for path in paths), default=0)


@pytest.mark.slow
def test_an_autoencoder_is_trained_first_and_its_time_is_taken_from_the_steps(
    tmp_path: Path,
) -> None:
    base = yaml.safe_load(yaml.safe_dump(TINY))
    base["trainer"] |= {"max_steps": 900, "val_check_interval": 900, "log_every_n_steps": 10}
    base["data"]["dataset"]["init_args"]["num_videos"] = 2000
    first = {
        "data": base["data"],
        "model": {
            "class_path": "AutoencoderTask",
            "init_args": {
                "autoencoder": {
                    "class_path": "framewise_kl",
                    "init_args": {
                        "latent_channels": 4, "width": [8, 8], "depth": 1, "num_groups": 4
                    },
                }
            },
        },
        "trainer": {**base["trainer"], "max_steps": 20, "val_check_interval": 20},
    }  # fmt: skip
    first["trainer"]["default_root_dir"] = str(tmp_path / "autoencoder")
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(first))
    checkpoint = str(tmp_path / "autoencoder" / "checkpoints" / "last.ckpt")
    latent = {
        "model.autoencoder": {"class_path": "trained", "init_args": {"checkpoint": checkpoint}},
        "model.denoiser.patchifier": {
            "class_path": "tubelet", "init_args": {"patch_size": [1, 2, 2]}
        },
    }  # fmt: skip
    values = {"pixel": {"model.autoencoder": "identity"}, "latent": latent}
    path = write(
        tmp_path, base, axes={"space": values},
        first=["first.yaml"], match="time", seeds=[0], launcher="local",
        metrics={"val/loss": "lower"}, samples=None, evaluation=None,
    )  # fmt: skip
    assert main(["ablate", str(path), "--dry-run"]) == 2, "it is not known yet how long steps take"
    assert main(["ablate", str(path)]) == 0
    pixel, latent_cell = written(tmp_path)["cells"]
    assert pixel["costs"]["steps"] == 900
    assert latent_cell["solved"]["trainer.max_steps"] == latent_cell["costs"]["steps"]
    record = json.loads((tmp_path / "autoencoder" / "run.json").read_text())
    assert latent_cell["costs"]["seconds_before"] == record["training_seconds"]
    costs = [cell["costs"] for cell in (pixel, latent_cell)]
    took = [cost["seconds_before"] + cost["steps"] * cost["seconds_per_step"] for cost in costs]
    assert latent_cell["equality"] == pytest.approx(took[1] / took[0]), "as it came out"
    foreseen = json.loads((tmp_path / "out" / SOLVED).read_text()).values()
    assert [one["equality"] for one in foreseen] == [
        pytest.approx(1.0, abs=0.5 / cost["steps"]) for cost in costs
    ]
    again = {p: p.stat().st_mtime for p in tmp_path.rglob("*.ckpt")}
    assert main(["ablate", str(path)]) == 0
    assert {p: p.stat().st_mtime for p in tmp_path.rglob("*.ckpt")} == again
