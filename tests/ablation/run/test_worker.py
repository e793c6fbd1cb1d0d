"""A worker does what is left of a run, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import processes_with, wait
from toy_runs import COUNT, counts, toy_folder, toy_run

from vidiff.ablation.run.folder import RunFolder
from vidiff.ablation.run.worker import BUSY, reason, work

FAIL_ONCE = COUNT + "if len(file.read_text()) == 1: sys.exit('ValueError: not yet')"
WAIT = COUNT + "time.sleep(60)"


def test_phases_run_in_order_and_never_again(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path, toy_run(0), COUNT, COUNT)
    assert work(folder.path) == 0
    assert work(folder.path) == 0
    assert counts(folder) == [1, 1]
    status = folder.status()
    assert [*status.done] == ["key0", "key1"]
    assert status.attempts == 1
    assert folder.is_done()
    assert not folder.is_busy()


def test_a_phase_that_fails_is_the_first_of_the_next_attempt(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path, toy_run(0), COUNT, FAIL_ONCE, COUNT)
    assert work(folder.path) == 1
    assert counts(folder) == [1, 1, 0]
    assert folder.status().error == "phase1: ValueError: not yet (exit status 1)"
    assert work(folder.path) == 0
    assert counts(folder) == [1, 2, 1]
    assert folder.status().error == ""
    assert folder.status().attempts == 2


def test_a_phase_that_is_to_be_done_differently_is_done_again(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path, toy_run(0), COUNT, COUNT)
    work(folder.path)
    changed = RunFolder(folder.path, [folder.phases[0], _other(folder)])
    assert not changed.is_done()
    changed.prepare({}, "")
    assert work(folder.path) == 0
    assert counts(folder) == [1, 2]


def test_who_comes_second_leaves(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path, toy_run(0), COUNT)
    lock = folder.claim()
    assert lock is not None
    assert folder.is_busy()
    assert work(folder.path) == BUSY
    os.close(lock)
    assert not folder.is_busy()
    assert work(folder.path) == 0
    assert counts(folder) == [1]


def test_a_command_that_outlives_its_worker_keeps_others_out(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path, toy_run(0), WAIT)
    worker = _start(folder)
    wait(lambda: counts(folder) == [1])
    worker.kill()
    worker.wait()
    assert folder.is_busy()
    assert work(folder.path) == BUSY
    (child,) = processes_with(str(folder.path / "count0"))
    os.kill(child, signal.SIGKILL)
    wait(lambda: not folder.is_busy())
    assert folder.status().done == {}


@pytest.mark.parametrize("graceful", [True, False])
def test_a_worker_that_is_told_to_end_tells_its_command(tmp_path: Path, graceful: bool) -> None:
    """Also one that ends with status 0 then, as Lightning does: its work is not done."""
    script = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    folder = toy_folder(tmp_path, toy_run(0), (script if graceful else "") + WAIT)
    worker = _start(folder)
    wait(lambda: counts(folder) == [1])
    worker.terminate()
    assert worker.wait() != 0
    assert folder.status().done == {}
    assert not folder.is_busy()
    assert not processes_with(str(folder.path / "count0"))


def test_the_reason_is_the_error_not_what_was_printed_after_it(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("vidiff: error: of an earlier attempt\n")
    start = log.stat().st_size
    with log.open("a") as file:
        file.write("Epoch 1\rEpoch 2\nvidiff: error: prediction: unknown\nbye\n")
    assert reason(log, start, 2) == "prediction: unknown (exit status 2)"
    assert reason(log, start, -9) == "ended by SIGKILL"
    log.write_text("Traceback\n  File\ntorch.OutOfMemoryError: too large\n")
    assert reason(log, 0, 1) == "torch.OutOfMemoryError: too large (exit status 1)"


def test_processes_of_a_job_beside_the_first_keep_no_books(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = toy_folder(tmp_path, toy_run(0), COUNT)
    lock = folder.claim()  # that of the first one
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert work(folder.path) == 0
    assert counts(folder) == [1]
    assert folder.status().done == {}
    assert lock is not None
    os.close(lock)


def _other(folder: RunFolder):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(folder.phases[1], key="another")


def _start(folder: RunFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "vidiff.ablation.run.worker", str(folder.path)])
