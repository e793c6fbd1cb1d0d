"""The launcher ray, on a real Ray cluster of two nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from processes import PATIENCE, is_alive, wait
from ray.cluster_utils import Cluster
from ray_plugin import PLUGIN, registered, vidiff_ray

from vidiff.ablation import launchers
from vidiff.ablation.launchers.base import Handle, Job, Launcher
from vidiff.registry import get_component
from vidiff.testing import check_component

Ray = vidiff_ray.Ray
ENDED = ("succeeded", "failed")
NOTE = """
import json, os, signal, sys, time
def note(**said):
    names = ("CUDA_VISIBLE_DEVICES", "FROM_JOB", "FROM_LAUNCHER", "RAY_RAYLET_PID")
    said |= {name: os.environ[name] for name in names if name in os.environ}
    said |= {"pid": os.getpid(), "cwd": os.getcwd(), "time": time.time()}
    with open(FILE, "a") as file:
        file.write(json.dumps(said) + "\\n")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one CPU; one has two GPUs, says Ray, and the other a licence."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "num_gpus": 2})
    cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20, resources={"licence": 1})
    cluster.wait_for_nodes()
    with registered():
        yield cluster
    cluster.shutdown()


@pytest.fixture
def launcher(cluster: Cluster) -> Iterator[Callable[..., Launcher]]:
    made: list[Launcher] = []

    def make(**options: Any) -> Launcher:
        made.append(Ray(address=cluster.address, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def launch(tmp_path: Path, launcher: Callable[..., Launcher]) -> Iterator[Callable[..., Handle]]:
    """Start Python code as a job; it may call ``note(**said)``."""
    started: list[Handle] = []

    def start(code: str, name: str = "run", with_: Launcher | None = None, **needs: Any) -> Handle:
        started.append((with_ or launcher()).start(make_job(tmp_path, code, name, **needs)))
        return started[-1]

    yield start
    for handle in started:
        handle.stop()


def make_job(tmp_path: Path, code: str, name: str = "run", **needs: Any) -> Job:
    folder = tmp_path / name
    folder.mkdir()
    code = NOTE.replace("FILE", repr(str(folder / "notes"))) + code
    words = (sys.executable, "-c", code)
    return Job(name, words, folder, tmp_path, {"FROM_JOB": "1"}, **needs)


def notes(folder: Path) -> list[dict[str, Any]]:
    file = folder / "notes"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def wait_for_end(handle: Handle) -> str:
    wait(lambda: handle.state() in ENDED)
    return handle.state()


def test_it_is_registered_beside_the_package_of_its_name(cluster: Cluster) -> None:
    assert get_component("launcher", "ray").cls is Ray
    assert Path(ray.__file__).parts[-2:] == ("ray", "__init__.py")


def test_it_keeps_the_promises_of_its_kind(cluster: Cluster) -> None:
    check_component("launcher", "ray", address=cluster.address)
    ray.shutdown()


def test_jobs_spread_over_the_nodes_and_never_share_a_cpu(launch: Any, tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = f"note(begin=1)\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)\nnote(end=1)"
    handles = [launch(code, name=f"run-{number}") for number in range(4)]
    wait(lambda: sum(bool(notes(tmp_path / f"run-{number}")) for number in range(4)) == 2)
    wait(lambda: [handle.state() for handle in handles].count("running") == 2)
    assert [handle.state() for handle in handles].count("waiting") == 2
    go.touch()
    assert [wait_for_end(handle) for handle in handles] == ["succeeded"] * 4
    said = [note for number in range(4) for note in notes(tmp_path / f"run-{number}")]
    changes = sorted((one["time"], 1 if "begin" in one else -1) for one in said)
    at_once = [sum(change for _, change in changes[: k + 1]) for k in range(len(changes))]
    assert max(at_once) == 2
    assert len({one["RAY_RAYLET_PID"] for one in said}) == 2
    assert all(one["cwd"] == str(tmp_path) and one["FROM_JOB"] == "1" for one in said)


def test_what_it_prints_is_kept_and_its_status_seen(launch: Any, tmp_path: Path) -> None:
    handle = launch("print('to stdout'); sys.stderr.write('to stderr'); sys.exit(3)")
    assert wait_for_end(handle) == "failed"
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "to stdout" in log
    assert "to stderr" in log
    handle.stop()
    assert handle.state() == "failed"
    assert handle.record is None
    assert Ray().attach({}) is None


def test_stop_ends_the_command_in_good_order(launch: Any, tmp_path: Path) -> None:
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
    handle = launch(code)
    said = wait(lambda: notes(tmp_path / "run"))[0]
    assert handle.state() == "running"
    handle.stop()
    assert handle.state() == "failed"
    assert notes(tmp_path / "run")[1]["saved"]
    assert not is_alive(said["pid"])
    assert not is_alive(said["other"])


@pytest.mark.parametrize("hears", [2, 1000])
def test_a_worker_that_misses_that_it_is_cancelled(
    launch: Any, monkeypatch: pytest.MonkeyPatch, hears: int
) -> None:
    """It is told again, and in the end killed; meanwhile nobody waits for its next word."""

    def deaf(*job: Any) -> Iterator[int | None]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield None
        heard = 0
        while heard < hears:
            try:
                time.sleep(0.1)
            except KeyboardInterrupt:
                heard += 1
        yield 1

    told, cancel = [], ray.cancel

    def tell(task: Any, force: bool = False) -> None:
        told.append(force)
        cancel(task, force=force)

    monkeypatch.setattr(vidiff_ray, "_run", deaf)
    monkeypatch.setattr(launchers.child, "PATIENCE", PATIENCE if hears == 2 else -3.0)
    monkeypatch.setattr(ray, "cancel", tell)
    handle = launch("")
    wait(lambda: handle.state() == "running")
    handle.stop()
    assert handle.state() == "failed"
    assert told.count(False) >= 2
    assert told.count(True) == (hears == 1000)


def test_stop_while_waiting(launch: Any, tmp_path: Path) -> None:
    for number in range(2):
        launch("note(); time.sleep(60)", name=f"run-{number}")
    wait(lambda: notes(tmp_path / "run-0") and notes(tmp_path / "run-1"))
    third = launch("note()", name="third")
    assert third.state() == "waiting"
    third.stop()
    assert third.state() == "failed"
    assert not notes(tmp_path / "third")


def test_gpus_and_other_resources(launch: Any, launcher: Any, tmp_path: Path) -> None:
    """Ray gives out GPUs by number, and need not see them."""
    one = launch("note()", "one", on_gpu=True)
    two = launch("note()", "two", on_gpu=True, num_devices=2)
    none = launch("note()", "none", launcher(resources={"licence": 1}, env={"FROM_LAUNCHER": "2"}))
    assert {wait_for_end(handle) for handle in (one, two, none)} == {"succeeded"}
    seen = [notes(tmp_path / name)[0] for name in ("one", "two", "none")]
    assert seen[0]["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    assert sorted(seen[1]["CUDA_VISIBLE_DEVICES"].split(",")) == ["0", "1"]
    assert seen[0]["RAY_RAYLET_PID"] == seen[1]["RAY_RAYLET_PID"] != seen[2]["RAY_RAYLET_PID"]
    assert seen[2]["FROM_LAUNCHER"] == "2"


@pytest.mark.parametrize("killed_by", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_does_not_outlive_its_driver(
    cluster: Cluster, tmp_path: Path, killed_by: signal.Signals
) -> None:
    (tmp_path / "run").mkdir()
    code = "import os, subprocess, sys, time\n"
    code += "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    code += "open('run/pids', 'w').write(f'{os.getpid()} {other.pid} .')\ntime.sleep(60)"
    driver = f"""
import sys, time
from pathlib import Path
from vidiff.ablation.launchers.base import Job
from vidiff.plugins import load_plugins
(vidiff_ray,) = load_plugins([{PLUGIN!r}])
folder = Path({str(tmp_path)!r})
job = Job("run", (sys.executable, "-c", {code!r}), folder / "run", folder)
handle = vidiff_ray.Ray(address={cluster.address!r}).start(job)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", driver], start_new_session=True)
    file = tmp_path / "run" / "pids"
    wait(lambda: file.exists() and file.read_text().endswith("."))
    pids = [int(pid) for pid in file.read_text().split()[:2]]
    assert all(map(is_alive, pids))
    process.send_signal(killed_by)
    process.wait()
    wait(lambda: not any(map(is_alive, pids)))


def test_a_job_does_not_outlive_rays_worker(launch: Any, tmp_path: Path) -> None:
    handle = launch("note(parent=os.getppid()); time.sleep(60)")
    said = wait(lambda: notes(tmp_path / "run"))[0]
    os.kill(said["parent"], signal.SIGKILL)
    wait(lambda: not is_alive(said["pid"]))
    with pytest.warns(UserWarning, match="worker"):
        assert wait_for_end(handle) == "failed"


def test_a_folder_that_the_node_does_not_see(launcher: Any, tmp_path: Path) -> None:
    job = Job("run", ("true",), tmp_path / "run", tmp_path / "nowhere")
    handle = launcher().start(job)
    with pytest.warns(UserWarning, match=r"there is no .*nowhere on node .* all nodes share"):
        assert wait_for_end(handle) == "failed"
    assert "nowhere" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("options", "needs", "said"),
    [
        ({}, {"num_nodes": 2}, "asks for 2 nodes"),
        ({}, {"num_devices": 8, "on_gpu": True}, r"8 GPU \(at most 2\)"),
        ({"num_cpus": 2}, {}, r"2 CPU \(at most 1\)"),
        ({"resources": {"tpu": 1}}, {}, r"1 tpu \(at most 0\)"),
        ({"memory_gb": 1e6}, {}, r"1e\+06 GiB of memory \(at most"),
    ],
)
def test_what_no_node_has_is_refused(
    launcher: Any, tmp_path: Path, options: Any, needs: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        launcher(**options).start(make_job(tmp_path, "", **needs))


def test_connecting_leaves_the_signal_alone(launcher: Any, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    one = launcher()
    handle = one.start(make_job(tmp_path, ""))
    assert signal.getsignal(signal.SIGTERM) is before
    assert wait_for_end(handle) == "succeeded"
    one.close()
    assert not ray.is_initialized()


def test_where_there_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", _refuse)
    with pytest.raises(ValueError, match=r"no Ray cluster at auto .*ray start --head"):
        Ray().start(make_job(tmp_path, ""))


def _refuse(**_: Any) -> None:
    raise ConnectionError("Could not find any running Ray instance.")


@pytest.mark.parametrize("wrong", [{"num_at_once": 0}, {"num_cpus": -1}])
def test_numbers_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        Ray(**wrong)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'vidiff\[cluster\]'"):
        Ray()
