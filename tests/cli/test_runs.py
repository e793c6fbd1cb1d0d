"""One run a folder, and no checkpoint under another model's config."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from processes import Warm, wait
from processes import run as run_python
from tiny import write_config

from vidiff.__main__ import main


@pytest.fixture(scope="module")
def done(tmp_path_factory: Any) -> Path:
    """A config whose run has been trained for two steps."""
    config = write_config(tmp_path_factory.mktemp("runs") / "tiny.yaml")
    assert main(["fit", "-c", str(config)]) == 0
    return config


@pytest.fixture
def run(done: Path) -> Path:
    return done.parent / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_run_folder_holds_the_config_and_the_run_and_no_lightning_logs(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["init_args"]["denoiser"]["init_args"]["mlp_ratio"] == 4.0
    assert (run / "checkpoints" / "last.ckpt").exists()
    assert list(run.glob("events.out.tfevents.*"))
    assert not (run / "lightning_logs").exists()


def test_a_second_run_in_the_folder_is_refused_with_what_to_do(
    refused: Any, done: Path, run: Path
) -> None:
    before = contents(run)
    error = refused("fit", "-c", done)
    assert "holds another run" in error
    assert "--ckpt_path last" in error
    assert "--trainer.default_root_dir" in error
    assert contents(run) == before


def test_a_checkpoint_of_another_folder_is_no_way_into_one_that_holds_a_run(
    refused: Any, done: Path, run: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "last.ckpt"
    elsewhere.write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())
    assert "holds another run" in refused("fit", "-c", done, "--ckpt_path", elsewhere)


def test_a_run_that_failed_at_its_start_leaves_the_folder_free(tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml")
    assert main(["fit", "-c", str(config), "--model.denoiser.num_heads=3"]) == 2
    assert main(["fit", "-c", str(config), "--trainer.max_steps=1"]) == 0


def test_a_checkpoint_that_is_missing_or_none_is_refused(
    refused: Any, done: Path, run: Path, tmp_path: Path
) -> None:
    assert refused("fit", "-c", done, "--ckpt_path=nope.ckpt") == (
        "--ckpt_path nope.ckpt does not exist"
    )
    empty = f"--trainer.default_root_dir={tmp_path}"
    assert "there is no last.ckpt in" in refused("fit", "-c", done, "--ckpt_path=last", empty)
    assert "is not a checkpoint" in refused("fit", "-c", done, "--ckpt_path", run / "config.yaml")
    for command in ("validate", "test", "sample"):
        assert f"{command} needs a trained model" in refused(command, "-c", done)


def test_a_checkpoint_of_another_model_is_refused_with_the_keys_that_differ(
    refused: Any, done: Path
) -> None:
    for command in ("fit", "sample"):
        error = refused(
            command, "-c", done, "--ckpt_path=last", "--model.denoiser.depth=2",
            "--model.denoiser.conditioning=in_context", "--model.ema_decay=0.5",
        )  # fmt: skip
        assert "model.denoiser.depth: 2 in the config, 1 in the checkpoint" in error
        assert "model.denoiser.conditioning.class_path: 'vidiff.conditioning.InContext'" in error
        assert "model.ema_decay: 0.5 in the config, 0.998 in the checkpoint" in error
        assert "model.denoiser.width" not in error


def test_a_checkpoint_from_before_an_option_was_added_has_its_default(
    refused: Any, done: Path, run: Path, tmp_path: Path
) -> None:
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    del saved["hyper_parameters"]["ema_decay"]
    del saved["hyper_parameters"]["denoiser"]["init_args"]["mlp_ratio"]
    torch.save(saved, tmp_path / "old.ckpt")
    words = ["-c", done, "--ckpt_path", tmp_path / "old.ckpt", "--model.denoiser.mlp_ratio=3"]
    error = refused("validate", *words)
    assert "model.denoiser.mlp_ratio: 3.0 in the config, 4.0 in the checkpoint" in error
    assert "ema_decay" not in error


def test_resuming_goes_on_in_the_folder_and_keeps_the_first_config(tmp_path: Path) -> None:
    config = write_config(tmp_path / "c.yaml")
    run = tmp_path / "run"
    assert main(["fit", "-c", str(config), "--trainer.max_steps=1"]) == 0
    first = (run / "config.yaml").read_text()
    more = ["--ckpt_path=last", "--trainer.max_steps=3", "--model.sampler.num_steps=5"]
    assert main(["fit", "-c", str(config), *more]) == 0
    assert (run / "config.yaml").read_text() == first
    second = yaml.safe_load((run / "config-2.yaml").read_text())
    assert second["trainer"]["max_steps"] == 3
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 3
    # a saved config is enough to go on with
    assert main(["fit", "-c", str(run / "config-2.yaml"), "--trainer.max_steps=4"]) == 0


def test_auto_begins_a_run_goes_on_with_it_and_keeps_others_out(
    refused: Any, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "c.yaml")
    run, auto = tmp_path / "run", ["--ckpt_path", "auto"]
    assert main(["fit", "-c", str(config), *auto]) == 0
    assert main(["fit", "-c", str(config), *auto, "--trainer.max_steps=3"]) == 0
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 3
    # Ended before its first checkpoint, a run begins again; that of another model does not.
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    other = refused("fit", "-c", config, *auto, "--model.denoiser.depth=2")
    assert "holds another run" in other
    assert main(["fit", "-c", str(config), *auto]) == 0
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2


def test_validate_test_and_sample_read_the_same_config_and_leave_the_run_alone(
    done: Path, run: Path, tmp_path: Path
) -> None:
    before = contents(run)
    config, last = str(run / "config.yaml"), "--ckpt_path=last"
    assert main(["validate", "-c", config, last]) == 0
    assert main(["test", "-c", config, last]) == 0
    output = tmp_path / "samples"
    words = ["--prompts=a red square; a blue circle", f"--output={output}", "--seed=3"]
    assert main(["sample", "-c", config, last, *words]) == 0
    rows = [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["a red square", "a blue circle"]
    assert contents(run) == before


def test_prompts_of_a_table_and_of_no_file(
    done: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", "-c", str(run / "config.yaml"), "--ckpt_path=last"]
    table, output = tmp_path / "p.csv", tmp_path / "samples"
    table.write_text("\ufefffile,prompt\r\na.mp4,a red square\r\nb.mp4,a blue circle\r\n")
    assert main([*words, f"--prompts={table}", f"--output={output}"]) == 0
    rows = [json.loads(line) for line in (output / "samples.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["a red square", "a blue circle"]
    capsys.readouterr()
    absent = tmp_path / "q.csv"
    assert main([*words, f"--prompts={absent}", f"--output={tmp_path / 'none'}"]) == 2
    assert f"file of prompts {absent} does not exist" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_told_to_end_ends_cleanly_and_says_that_it_is_not_done(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    config = write_config(tmp_path / "c.yaml", {"trainer.max_steps": 1_000_000})
    process = Warm("-m", "vidiff", "fit", "-c", config)
    wait(lambda: (tmp_path / "run" / "config.yaml").exists() or process.poll() is not None)
    process.send_signal(number)
    done = process.finish()
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_large_buffers_are_kept_where_the_allocator_is_glibcs(monkeypatch: Any) -> None:
    import platform

    from vidiff.cli.allocator import keep_buffers

    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    if platform.libc_ver()[0] != "glibc":
        assert not keep_buffers()
        pytest.skip("another allocator")
    # In a process of its own: what other tests left in the heap would count.
    program = (
        "import resource, torch, vidiff.cli.model  # as the program does\n"
        "from vidiff.cli.allocator import keep_buffers\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    x = torch.ones(16, 1024, 1024)  # 64 MiB\n"
        "    del x\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "assert keep_buffers(); faults(); print(sum(faults() for _ in range(5)))"
    )
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 3 * 16384  # else 64 MiB of pages each time, 5 x 16384
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    assert not keep_buffers(), "what the user has set is left alone"
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert not keep_buffers()
