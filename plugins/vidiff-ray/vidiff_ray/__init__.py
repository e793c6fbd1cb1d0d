"""The launcher ray: runs of an ablation on a Ray cluster that exists already."""

from __future__ import annotations

import importlib.util
import logging
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vidiff.ablation.launchers import child
from vidiff.ablation.launchers.base import Handle, Job, Launcher, State
from vidiff.registry import register

__all__ = ["Ray"]

LOG = "log.txt"

INTERVAL = 0.2
"""Seconds between two questions after a task, each of which takes 0.1 ms."""


@register("ray")
class Ray(Launcher):
    """Runs on an existing Ray cluster, one task with its resources for each run.

    Call it on a machine of the cluster. All nodes need this Python environment at the same path,
    and the runs and the working folder on a file system that they share. A run takes one node.

    Tasks belong to the process that asked for them: when it ends, in whatever way, Ray ends them,
    and the commands are told to end (SIGTERM). Call again, and they go on from where they were.

    Args:
        address: of the cluster, as ``ray.init`` takes it; ``auto`` is the one that this
            machine belongs to, and ``local`` starts one here, for as long as this process lasts.
        num_cpus: CPUs of a run.
        num_gpus: GPUs of a run; null is one for each of its devices, if those are GPUs.
        memory_gb: memory of a run, in GiB, which Ray counts but does not enforce.
        resources: of a run, besides these: names that nodes were started with, and amounts.
        num_at_once: runs that may be waiting and running together.
        env: variables for the runs, whose environment is that of the nodes.

    Raises:
        ValueError: if a number is out of its range, or ray is missing.
    """

    def __init__(
        self,
        address: str = "auto",
        num_cpus: float = 1.0,
        num_gpus: float | None = None,
        memory_gb: float | None = None,
        resources: dict[str, float] | None = None,
        num_at_once: int = 100,
        env: dict[str, str] | None = None,
    ) -> None:
        if num_at_once < 1:
            raise ValueError(f"num_at_once must be at least 1, got {num_at_once}")
        if num_cpus < 0:
            raise ValueError(f"num_cpus must be at least 0, got {num_cpus}")
        if importlib.util.find_spec("ray") is None:
            raise ValueError("the launcher ray needs ray: pip install 'vidiff[cluster]'")
        self.num_at_once, self.address, self.env = num_at_once, address, env or {}
        self.num_cpus, self.num_gpus, self.memory_gb = num_cpus, num_gpus, memory_gb
        self.resources = resources or {}
        self._is_ours = False  # the connection, to be closed again

    def start(self, job: Job) -> Task:
        """Hand a job to Ray.

        Raises:
            ValueError: if it asks for several nodes, no node has what it asks for, or there is no
                cluster.
        """
        import ray

        if job.num_nodes > 1:
            raise ValueError(
                f"{job.name} asks for {job.num_nodes} nodes, and the launcher ray gives each run "
                "one: use slurm, or set trainer.num_nodes to 1"
            )
        self._connect()
        asked = self._asked(job)
        _check_that_a_node_has(asked, job.name)
        job.folder.mkdir(parents=True, exist_ok=True)
        # The nodes need vidiff, but not this plugin: its code travels with the task.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        names = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        task = ray.remote(_run).options(
            name=job.name, num_returns="streaming", max_retries=0,
            resources={name: amount for name, amount in asked.items() if name not in names},
            **{names[name]: amount for name, amount in asked.items() if name in names},
        )  # fmt: skip
        folder, env = str(job.folder), {**self.env, **job.env}
        return Task(task.remote(list(job.words), str(job.cwd), env, folder), job.folder / LOG)

    def close(self) -> None:
        if self._is_ours:
            import ray

            ray.shutdown()
            self._is_ours = False

    def _asked(self, job: Job) -> dict[str, float]:
        gpus = self.num_gpus
        if gpus is None:
            gpus = job.num_devices if job.on_gpu else 0
        asked = {"CPU": self.num_cpus, "GPU": gpus, **self.resources}
        if self.memory_gb is not None:
            asked["memory"] = int(self.memory_gb * 2**30)
        return asked

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():
            return
        in_main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM)
        try:
            with child.interruptible():
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"no Ray cluster at {self.address} ({error}): start one with `ray start --head`, "
                "or set launcher.address"
            ) from error
        finally:
            if in_main:  # ray.init takes the signal for itself
                signal.signal(signal.SIGTERM, before)
        self._is_ours = True


class Task(Handle):
    """A job that was handed to Ray.

    Args:
        task: what ``_run`` gives, as it comes.
        log: of the job.
    """

    def __init__(self, task: Any, log: Path) -> None:
        self._task, self._log = task, log
        self._state: State = "waiting"
        self._asked, self._is_cancelled = float("-inf"), False

    def state(self) -> State:
        if time.monotonic() - self._asked < INTERVAL:
            return self._state
        import ray

        self._asked = time.monotonic()
        # Of a task that is cancelled, Ray reports a next value though it may still run.
        sign = self._task.completed() if self._is_cancelled else self._task
        while self._state in ("waiting", "running") and ray.wait([sign], timeout=0)[0]:
            self._state = self._next()
        return self._state

    def stop(self) -> None:
        import ray

        if self.state() not in ("waiting", "running"):
            return
        self._is_cancelled = True
        patience = time.monotonic() + child.PATIENCE + 5
        while time.monotonic() < patience:
            ray.cancel(self._task)  # again: what interrupts a worker may be lost in code of Ray
            if ray.wait([self._task.completed()], timeout=1)[0]:
                break
        else:
            ray.cancel(self._task, force=True)
            ray.wait([self._task.completed()], timeout=5)
        self._asked = float("-inf")
        self.state()

    def _next(self) -> State:
        """Take the next of what ``_run`` gives: that it has begun, then the exit status."""
        import ray
        from ray.exceptions import RayError, RayTaskError, TaskCancelledError

        try:
            code = ray.get(next(self._task))
        except TaskCancelledError:
            return "failed"
        except (RayError, StopIteration) as error:  # the node is gone, or cannot see the folder
            cause = error.cause if isinstance(error, RayTaskError) else error
            warnings.warn(f"{self._log.parent}: {cause}", stacklevel=2)
            with self._log.open("a") as log:
                log.write(f"{cause}\n")
            return "failed"
        return "running" if code is None else "failed" if code else "succeeded"


def _run(words: list[str], cwd: str, env: dict[str, str], folder: str) -> Iterator[int | None]:
    """Run a command on a node of the cluster.

    Yields:
        None when it begins, then its exit status.

    Raises:
        FileNotFoundError: if the node does not see one of the folders.
    """
    for path in (cwd, folder):
        if not Path(path).is_dir():
            raise FileNotFoundError(
                f"there is no {path} on node {_node()}: the launcher ray needs a file system that "
                "all nodes share"
            )
    with Path(folder, LOG).open("ab") as log:
        process = child.start(words, cwd, env, log)
    # By this Ray cancels a task; where its node was started in the background, it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield None
        while process.poll() is None:
            time.sleep(0.1)  # Ray interrupts Python, but no system call
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ending already
        child.end(process)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield process.returncode


def _node() -> str:
    import ray

    return str(ray.util.get_node_ip_address())


def _check_that_a_node_has(asked: Mapping[str, float], name: str) -> None:
    """Raise a ``ValueError`` if no node is large enough, even when nothing else runs there."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(r, 0) >= amount for r, amount in asked.items()) for node in nodes):
        return
    words = []
    for resource, amount in asked.items():
        unit, label = (2**30, "GiB of memory") if resource == "memory" else (1, resource)
        most = max((node.get(resource, 0) for node in nodes), default=0)
        words += [f"{amount / unit:g} {label} (at most {most / unit:g})"] if amount else []
    raise ValueError(
        f"no node of the Ray cluster has what {name} asks for: {', '.join(words)}; lower "
        "trainer.devices or what the launcher asks for, or add a node"
    )
