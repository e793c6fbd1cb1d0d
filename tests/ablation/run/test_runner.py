"""What is missing runs, what is done is skipped, what failed is tried again; nothing runs twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from processes import wait
from toy_runs import COUNT, counts, toy_folder, toy_run, toy_runner

from vidiff.ablation.ask.file import Budget
from vidiff.ablation.ask.nodes import devices_of
from vidiff.ablation.launchers import Job, Local
from vidiff.ablation.run.folder import RunFolder
from vidiff.ablation.run.runner import make_job

FAIL = COUNT + "sys.exit('ValueError: never')"
FAIL_ONCE = COUNT + "if len(file.read_text()) == 1: sys.exit('ValueError: not yet')"
SLOW = COUNT + "time.sleep(0.5)"


def test_all_run_and_a_second_call_does_nothing(tmp_path: Path) -> None:
    runs = [toy_run(k) for k in range(4)]
    folders = [(run, toy_folder(tmp_path, run, COUNT, COUNT)) for run in runs]
    for launcher in (Local(2), Local()):
        seen: list[str] = []
        assert toy_runner(folders, launcher, seen).run(runs)
        assert all(counts(folder) == [1, 1] for _, folder in folders)
    assert not seen, "there was nothing to do"


def test_what_fails_is_tried_again_and_the_others_go_on(tmp_path: Path) -> None:
    runs = [toy_run(k) for k in range(3)]
    scripts = [FAIL, FAIL_ONCE, COUNT]
    folders = [(run, toy_folder(tmp_path, run, s)) for run, s in zip(runs, scripts, strict=True)]
    seen: list[str] = []
    assert not toy_runner(folders, Local(), seen, retries=2).run(runs)
    assert [counts(folder) for _, folder in folders] == [[3], [2], [1]]
    failed = [line for line in seen if "failed: phase0: ValueError: never" in line]
    assert len(failed) == 3
    assert "trying again" in failed[0]
    assert "trying again" not in failed[-1]
    assert str(folders[0][1].path) in failed[-1]
    # Another call tries what failed once more.
    assert not toy_runner(folders, Local(), [], retries=0).run(runs)
    assert counts(folders[0][1]) == [4]


def test_a_worker_that_leaves_with_0_was_not_ended_from_outside(tmp_path: Path) -> None:
    """Such as one that read the phases of an earlier call, before they were asked for anew."""
    run = toy_run(0)
    folder = toy_folder(tmp_path, run, COUNT)
    asked = RunFolder(folder.path, [replace(folder.phases[0], name="evaluate", key="anew")])
    seen: list[str] = []
    assert not toy_runner([(run, asked)], Local(), seen, retries=0).run([run])
    assert "failed: its worker ended well and left evaluate undone: call again" in seen[-1]
    assert "from outside" not in "".join(seen)


def test_two_calls_at_once_do_not_run_a_cell_twice(tmp_path: Path) -> None:
    runs = [toy_run(k) for k in range(5)]
    folders = [(run, toy_folder(tmp_path, run, SLOW)) for run in runs]
    ended: list[bool] = []

    def call() -> None:
        ended.append(toy_runner(folders, Local(2), []).run(runs))

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert ended == [True, True]
    assert all(counts(folder) == [1] for _, folder in folders)
    assert all(folder.status().attempts == 1 for _, folder in folders)


def test_a_caller_that_is_killed_leaves_its_jobs_to_the_next_call(tmp_path: Path) -> None:
    """Which waits for a command that outlived it, and does not start it again."""
    run = toy_run(0)
    folder = toy_folder(tmp_path, run, COUNT + "time.sleep(2)", COUNT)
    script = (
        "import sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from toy_runs import toy_run, toy_runner\n"
        "from vidiff.ablation.run.folder import RunFolder\n"
        "from vidiff.ablation.launchers import Local\n"
        f"run, folder = toy_run(0), RunFolder.read(Path({str(folder.path)!r}))\n"
        "toy_runner([(run, folder)], Local(), []).run([run])\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    wait(lambda: counts(folder) == [1, 0])
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    assert toy_runner([(run, folder)], Local(), []).run([run])
    assert counts(folder) == [1, 1]


def test_stopping_the_caller_stops_its_jobs(tmp_path: Path) -> None:
    runs = [toy_run(k) for k in range(2)]
    folders = [(run, toy_folder(tmp_path, run, COUNT + "time.sleep(60)")) for run in runs]
    runner = toy_runner(folders, Local(2), [])

    def interrupt(*_: object) -> None:
        if all(counts(folder) == [1] for _, folder in folders):
            raise KeyboardInterrupt

    runner.progress.update = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        runner.run(runs)
    assert not any(folder.is_busy() or folder.is_done() for _, folder in folders)


def test_a_budget_ends_what_takes_too_long_and_starts_no_more(tmp_path: Path) -> None:
    runs = [toy_run(k) for k in range(3)]
    folders = [(run, toy_folder(tmp_path, run, SLOW)) for run in runs]
    seen: list[str] = []
    budget = Budget(hours=0.1 / 3600)
    assert not toy_runner(folders, Local(), seen, budget=budget).run(runs)
    assert [counts(folder) for _, folder in folders] == [[1], [0], [0]]
    assert "2 runs are left; raise budget.hours" in seen[-1]
    slow = toy_run(7)
    folder = toy_folder(tmp_path, slow, COUNT + "time.sleep(60)")
    budget = Budget(minutes_per_run=0.02)
    assert not toy_runner([(slow, folder)], Local(), seen, budget=budget, retries=0).run([slow])
    assert "stopped after 0.02 minutes (budget.minutes_per_run)" in seen[-1]


def test_runs_side_by_side_share_the_cores(tmp_path: Path) -> None:
    show = "import os, sys; print(*os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'])"
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core cannot be shared")
    launcher = Local(2)
    jobs = [
        Job(
            f"j{k}",
            (sys.executable, "-c", show + "; sys.stdin.read()"),
            tmp_path / str(k),
            tmp_path,
        )
        for k in range(2)
    ]
    old = os.environ.pop("OMP_NUM_THREADS", None)
    try:
        handles = [launcher.start(job) for job in jobs]
    finally:
        if old is not None:
            os.environ["OMP_NUM_THREADS"] = old
    assert all(handle.popen.wait() == 0 for handle in handles)
    assert [handle.state() for handle in handles] == ["succeeded", "succeeded"]
    given = [(tmp_path / str(k) / "log.txt").read_text().split() for k in range(2)]
    sets = [set(words[:-1]) for words in given]
    assert not sets[0] & sets[1]
    assert all(int(words[-1]) == len(cores) // 2 for words in given)


def test_gpus_are_divided_and_too_few_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    show = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    launcher, words = Local(2), (sys.executable, "-c", show + "; input()")
    for k in range(2):
        job = Job(f"j{k}", words, tmp_path / str(k), tmp_path, num_devices=2, on_gpu=True)
        handle = launcher.start(job)
        handle.popen.wait()
        launcher._slots[k] = _Held()  # as if it went on
    seen = [(tmp_path / str(k) / "log.txt").read_text().split()[0] for k in range(2)]
    assert seen == ["4,5", "6,7"]
    launcher = Local(2)
    with pytest.raises(ValueError, match="asks for 3 GPUs, and 2 runs at once leave each 2 of 4"):
        launcher.start(Job("j", words, tmp_path, tmp_path, num_devices=3, on_gpu=True))
    with pytest.raises(ValueError, match="asks for 2 nodes"):
        launcher.start(Job("j", words, tmp_path, tmp_path, num_nodes=2))


def test_a_job_asks_for_the_devices_of_its_trainer(tmp_path: Path) -> None:
    assert devices_of({"trainer": {"accelerator": "gpu", "devices": 4, "num_nodes": 2}}) == (
        4, 2, True,
    )  # fmt: skip
    assert devices_of({"trainer": {"accelerator": "cpu", "devices": "2"}}) == (2, 1, False)
    assert devices_of({"trainer": {"accelerator": "cpu", "devices": [0, 3]}})[0] == 2
    run = toy_run(3)
    job = make_job(run, toy_folder(tmp_path, run, COUNT))
    assert job.folder.is_absolute()
    assert job.name == "000000000003-3-0"


class _Held:
    class popen:
        @staticmethod
        def poll() -> None:
            return None
