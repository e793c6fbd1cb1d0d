"""The launcher slurm, on a real Slurm of this machine and on submitit's local executor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from processes import is_alive, wait
from ray_plugin import PLUGIN
from slurm_cluster import NoSlurmError, slurm_cluster

from vidiff.ablation.launchers.base import Handle, Job
from vidiff.ablation.launchers.slurm import Slurm, SlurmQueue
from vidiff.registry import get_component

ENDED = ("succeeded", "failed")
NOTE = """
import json, os, signal, sys, time
def note(**said):
    names = ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_NNODES",
             "SLURM_PROCID", "SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS", "FROM_JOB", "FROM_SETUP")
    said |= {name: os.environ[name] for name in names if name in os.environ}
    said |= {"pid": os.getpid(), "parent": os.getppid(), "cwd": os.getcwd()}
    with open(FILE, "a") as file:
        file.write(json.dumps(said) + "\\n")
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A Slurm for this module, found by its programs through the environment."""
    try:
        with slurm_cluster() as variables, pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield
    except NoSlurmError as reason:
        pytest.skip(f"no real Slurm: {reason}")


@pytest.fixture(params=["slurm", "local"])
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of running jobs: by Slurm, and by submitit's local executor."""
    monkeypatch.setattr("vidiff.ablation.launchers.slurm.INTERVAL", 0.3)
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    return request.param


@pytest.fixture
def real(slurm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidiff.ablation.launchers.slurm.INTERVAL", 0.3)
    monkeypatch.setattr("vidiff.ablation.launchers.slurm.LATE", 0.5)  # the file system is local


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Handle]]:
    """Start Python code as a job; it may call ``note(**said)``."""
    started: list[Handle] = []

    def start(launcher: Slurm, code: str, name: str = "run", **needs: Any) -> Handle:
        folder = tmp_path / name
        folder.mkdir()
        code = NOTE.replace("FILE", repr(str(folder / "notes"))) + code
        env = {"FROM_JOB": "1"}
        job = Job(name, (sys.executable, "-c", code), folder, tmp_path, env, **needs)
        started.append(launcher.start(job))
        return started[-1]

    yield start
    for handle in started:
        handle.stop()


def notes(folder: Path) -> list[dict[str, Any]]:
    file = folder / "notes"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def wait_for_end(handle: Handle) -> str:
    wait(lambda: handle.state() in ENDED)
    return handle.state()


def test_registering_imports_neither_submitit_nor_ray() -> None:
    code = "import sys, vidiff.ablation.launchers.slurm, vidiff.plugins\n"
    code += f"vidiff.plugins.load_plugins([{PLUGIN!r}])\n"
    code += "sys.exit(bool({'submitit', 'ray', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert get_component("launcher", "slurm").cls is Slurm


def test_a_job_runs_its_command(cluster: str, launch: Any, tmp_path: Path) -> None:
    handle = launch(
        Slurm(cluster=cluster), "note(); print('to stdout'); print('to stderr', file=sys.stderr)"
    )
    assert handle.state() in ("waiting", "running")
    assert wait_for_end(handle) == "succeeded"
    (said,) = notes(tmp_path / "run")
    assert said["cwd"] == str(tmp_path)
    assert said["FROM_JOB"] == "1"
    assert ("SLURM_JOB_ID" in said) == (cluster == "slurm")
    (log,) = (tmp_path / "run" / "slurm").glob("*_log.out")
    assert "to stdout" in log.read_text()
    assert "to stderr" in log.read_text()
    handle.stop()
    assert handle.state() == "succeeded"


def test_a_failing_command_is_a_failed_job(cluster: str, launch: Any, tmp_path: Path) -> None:
    handle = launch(Slurm(cluster=cluster), "sys.exit('as I must (3)')")
    assert wait_for_end(handle) == "failed"
    (log,) = (tmp_path / "run" / "slurm").glob("*_log.out")
    assert "as I must (3)" in log.read_text()


def test_stop_ends_the_command_in_good_order(cluster: str, launch: Any, tmp_path: Path) -> None:
    code = """
import subprocess
def saved(*_):
    note(saved=True)
    sys.exit(0)
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
signal.signal(signal.SIGTERM, saved)
note(other=other.pid)
time.sleep(60)
"""
    handle = launch(Slurm(cluster=cluster), code)
    said = wait(lambda: notes(tmp_path / "run"))[0]
    assert handle.state() in ("waiting", "running")
    handle.stop()
    assert handle.state() == "failed"
    assert notes(tmp_path / "run")[1]["saved"]
    assert not is_alive(said["pid"])
    assert not is_alive(said["other"])


def test_told_that_time_is_over_the_job_runs_again(launch: Any, tmp_path: Path) -> None:
    handle = launch(Slurm(cluster="local"), f"note(); {SECOND_TIME} or time.sleep(60)")
    os.kill(wait(lambda: notes(tmp_path / "run"))[0]["parent"], signal.SIGUSR2)
    assert wait_for_end(handle) == "succeeded"
    assert len(notes(tmp_path / "run")) == 2


def test_without_requeue_it_ends_there(cluster: str, launch: Any, tmp_path: Path) -> None:
    handle = launch(Slurm(cluster=cluster, requeue=False), "note(); time.sleep(60)")
    said = wait(lambda: notes(tmp_path / "run"))[0]
    os.kill(said["parent"], signal.SIGUSR2)
    assert wait_for_end(handle) == "failed"
    assert not is_alive(said["pid"])
    assert len(notes(tmp_path / "run")) == 1


SECOND_TIME = "len(open(os.path.join('run', 'notes')).readlines()) == 2"


@pytest.mark.usefixtures("real")
class TestSlurm:
    """What only a real Slurm does."""

    def test_one_task_for_each_device(self, launch: Any, tmp_path: Path) -> None:
        handle = launch(Slurm(), "note()", num_devices=2)
        assert wait_for_end(handle) == "succeeded"
        said = notes(tmp_path / "run")
        assert {one["SLURM_PROCID"] for one in said} == {"0", "1"}
        for one in said:  # as Lightning's SLURMEnvironment.validate_settings wants them
            asked = (one["SLURM_NTASKS"], one["SLURM_NTASKS_PER_NODE"], one["SLURM_NNODES"])
            assert asked == ("2", "2", "1")

    def test_one_failing_task_ends_all(self, launch: Any, tmp_path: Path) -> None:
        code = "note(); sys.exit(3) if os.environ['SLURM_PROCID'] == '1' else time.sleep(60)"
        handle = launch(Slurm(), code, num_devices=2)
        assert wait_for_end(handle) == "failed"

    def test_cpus_reach_the_task(self, launch: Any, tmp_path: Path) -> None:
        setup = ["export FROM_SETUP='a b'"]
        handle = launch(Slurm(cpus_per_task=2, setup=setup), "note()")
        assert wait_for_end(handle) == "succeeded"
        (said,) = notes(tmp_path / "run")
        assert said["SLURM_CPUS_PER_TASK"] == "2"
        assert said["FROM_SETUP"] == "a b"
        assert said["OMP_NUM_THREADS"] == os.environ.get("OMP_NUM_THREADS", "2")

    def test_a_job_that_is_put_back_runs_again(self, launch: Any, tmp_path: Path) -> None:
        """By hand, and by submitit when Slurm says that its time is over."""
        ways = {"requeued": ["scontrol", "requeue"], "timed": ["scancel", "--signal=USR2"]}
        code = f"note(); {SECOND_TIME} or time.sleep(60)"
        handles = {way: launch(Slurm(), code.replace("'run'", repr(way)), way) for way in ways}
        for way, words in ways.items():
            wait(lambda way=way: notes(tmp_path / way))
            subprocess.run([*words, handles[way].record["slurm_job"]], check=True)
        for handle in handles.values():
            wait(lambda handle=handle: handle.state() == "waiting")
        for way, handle in handles.items():
            assert wait_for_end(handle) == "succeeded"
            first, second = notes(tmp_path / way)
            assert second["SLURM_JOB_ID"] == first["SLURM_JOB_ID"]

    @pytest.mark.parametrize(
        "partition", [pytest.param("main", marks=pytest.mark.slow), "graceful"]
    )
    def test_a_preempted_job_runs_again(self, partition: str, launch: Any, tmp_path: Path) -> None:
        handle = launch(Slurm(partition=partition), f"note(); {SECOND_TIME} or time.sleep(60)")
        wait(lambda: notes(tmp_path / "run"))
        urgent = launch(Slurm(partition="urgent"), "note()", name="urgent", num_devices=2)
        assert wait_for_end(urgent) == "succeeded"
        assert len(notes(tmp_path / "run")) == 1
        assert wait_for_end(handle) == "succeeded"
        assert len(notes(tmp_path / "run")) == 2

    def test_a_later_process_finds_the_job(self, launch: Any, tmp_path: Path) -> None:
        handle = launch(Slurm(), "note(); time.sleep(60)")
        record = json.loads(json.dumps(handle.record))
        found = Slurm().attach(record)
        assert found is not None
        assert found.state() in ("waiting", "running")
        wait(lambda: notes(tmp_path / "run"))
        wait(lambda: found.state() == "running")
        found.stop()
        assert wait_for_end(handle) == "failed"
        assert Slurm().attach(record) is None
        assert Slurm().attach({"slurm_job": "999999", "folder": "/", "num_tasks": 1}) is None
        assert Slurm().attach({}) is None

    def test_a_cancelled_job_has_failed(self, launch: Any, tmp_path: Path) -> None:
        handle = launch(Slurm(), "note(); time.sleep(60)")
        wait(lambda: notes(tmp_path / "run"))
        subprocess.run(["scancel", handle.record["slurm_job"]], check=True)
        assert wait_for_end(handle) == "failed"

    def test_submitting_from_within_a_job(
        self, launch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in {"JOB_ID": "1", "NTASKS": "7", "CPUS_PER_TASK": "5"}.items():
            monkeypatch.setenv(f"SLURM_{name}", value)
        handle = launch(Slurm(), "note()")
        assert os.environ["SLURM_NTASKS"] == "7"
        assert wait_for_end(handle) == "succeeded"
        assert notes(tmp_path / "run")[0]["SLURM_NTASKS"] == "1"

    def test_a_refused_job_is_an_error(self, launch: Any) -> None:
        with pytest.raises(ValueError, match=r"run cannot be submitted.*invalid partition"):
            launch(Slurm(partition="nowhere"), "")

    @pytest.mark.slow
    def test_lightning_does_not_requeue_beside_submitit(self, launch: Any, tmp_path: Path) -> None:
        code = f"""
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.fabric.plugins.environments import SLURMEnvironment
class Model(BoringModel):
    def on_train_start(self):
        environment = self.trainer._accelerator_connector.cluster_environment
        note(slurm=isinstance(environment, SLURMEnvironment),
             ignored=signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN)
        {SECOND_TIME} or time.sleep(60)
Trainer(max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        accelerator="cpu", devices=1, limit_val_batches=0).fit(Model())
"""
        handle = launch(Slurm(), code)
        wait(lambda: notes(tmp_path / "run"))
        subprocess.run(["scancel", "--signal=USR2", handle.record["slurm_job"]], check=True)
        wait(lambda: len(notes(tmp_path / "run")) == 2)
        assert all(said["slurm"] and said["ignored"] for said in notes(tmp_path / "run"))
        assert wait_for_end(handle) == "succeeded"


def test_a_thousand_jobs_are_one_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    squeue = tmp_path / "squeue"
    squeue.write_text(
        f"#!/bin/sh\necho x >> {count}\nfor i in $(seq 1000); do echo $i RUNNING; done\n"
        "echo 1001 PENDING\n"
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("vidiff.ablation.launchers.slurm.INTERVAL", 3600.0)
    queue = SlurmQueue()
    jobs = [SimpleNamespace(job_id=str(number)) for number in range(1, 1003)]
    for _ in range(3):
        places = [queue.look(job)[1] for job in jobs]
        assert places == ["running"] * 1000 + ["waiting", None]
    assert count.read_text().split() == ["x"]


def test_where_slurm_does_not_answer_jobs_are_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue, job = tmp_path / "squeue", SimpleNamespace(job_id="1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("vidiff.ablation.launchers.slurm.INTERVAL", 0.0)
    squeue.write_text("#!/bin/sh\necho 1 RUNNING\n")
    squeue.chmod(0o755)
    queue = SlurmQueue()
    before = queue.look(job)
    assert before[1] == "running"
    squeue.write_text("#!/bin/sh\necho slurm_load_jobs error: away >&2\nexit 1\n")
    with pytest.warns(UserWarning, match="away"):
        assert queue.look(job) == before


@pytest.mark.parametrize(
    ("options", "needs", "expected"),
    [
        ({"gpu_type": "a100"}, {"num_devices": 4, "num_nodes": 2, "on_gpu": True},
         ["--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=a100:4", "--requeue"]),
        ({}, {"num_devices": 4, "on_gpu": True}, ["--gpus-per-node=4", "--nodes=1"]),
        ({"requeue": False}, {"num_devices": 2}, ["--ntasks-per-node=2", "--no-requeue"]),
        ({"parameters": {"gres": "gpu:v100:1", "mail-type": "END"}, "memory_gb": 1.5, "qos": "low",
          "account": "lab", "minutes": 90, "constraint": "a|b", "exclude": "n[1-3]"},
         {"on_gpu": True},
         ["--gres=gpu:v100:1", "--mail-type=END", "--mem=1536MB", "--qos=low", "--account=lab",
          "--time=90", "--constraint='a|b'", "--exclude='n[1-3]'"]),
    ],
)  # fmt: skip
def test_options_reach_sbatch(
    options: dict[str, Any], needs: dict[str, Any], expected: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("sbatch", "srun"):
        (tmp_path / name).write_text("#!/bin/sh\necho Submitted batch job 7\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    handle = Slurm(**options).start(Job("run", ("true",), tmp_path, tmp_path, **needs))
    assert handle.record["slurm_job"] == "7"
    text = (tmp_path / "slurm" / "7_submission.sh").read_text()
    asked = [line.removeprefix("#SBATCH ") for line in text.splitlines() if "#SBATCH" in line]
    assert set(expected) <= set(asked)
    gpus = [line for line in asked if "gpu" in line]
    assert len(gpus) == needs.get("on_gpu", False)


@pytest.mark.parametrize("wrong", [{"num_at_once": 0}, {"minutes": 1}])
def test_numbers_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        Slurm(**wrong)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'vidiff\[cluster\]'"):
        Slurm()


def test_where_there_is_no_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="no sbatch here"):
        Slurm().start(Job("run", ("true",), tmp_path, tmp_path))
