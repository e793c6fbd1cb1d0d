"""Runs on a cluster managed by Slurm, by way of submitit."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from vidiff.ablation.launchers import child
from vidiff.ablation.launchers.base import Handle, Job, Launcher, State
from vidiff.ablation.launchers.slurm_command import Command
from vidiff.ablation.launchers.slurm_queue import LocalQueue, Queue, SlurmQueue
from vidiff.registry import register

if TYPE_CHECKING:
    import submitit

FOLDER = "slurm"
"""Where in a run's folder submitit keeps its files; ``*_log.out`` is what the job printed."""

MAX_TIMEOUTS = 100
"""Turns of ``minutes`` that a run may take."""

ENDED = ("succeeded", "failed")

LATE = 15.0
"""Seconds that the result of an ended job may take to be seen over a shared file system."""


@register("slurm")
class Slurm(Launcher):
    """Runs on a Slurm cluster, one job for each run and one task for each device.

    Call it where ``sbatch`` works, and keep the runs on a file system that all nodes share. A job
    that is preempted, or reaches its time limit, is put back into the queue and goes on from its
    last checkpoint. What a job prints lies in its run's folder, in ``slurm/``.

    submitit is told by SIGUSR2, 90 s before the time limit, and requeues. Lightning would do the
    same on SIGUSR1; jobs started here do not hear that signal, so that one of the two acts.

    Args:
        partition: where jobs run; by default, as all of these, what the cluster has set.
        account: that pays.
        qos: quality of service.
        minutes: time limit of a job, after which it is requeued.
        cpus_per_task: CPUs for each device, its data workers included.
        memory_gb: of each node, in GiB.
        gpu_type: such as ``a100``.
        constraint: features that nodes must have.
        exclude: nodes that are not to be used.
        num_at_once: jobs that may be waiting and running together.
        parameters: any other option of ``sbatch``, by its long name; these win.
        setup: shell lines that run before the job, such as ``module load cuda``.
        requeue: whether jobs go back into the queue.
        cluster: ``local`` runs the jobs on this machine by submitit's local executor, to try a file
            without Slurm; of these options it knows only ``minutes``.
    """

    def __init__(
        self,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        minutes: int = 1440,
        cpus_per_task: int | None = None,
        memory_gb: float | None = None,
        gpu_type: str | None = None,
        constraint: str | None = None,
        exclude: str | None = None,
        num_at_once: int = 100,
        parameters: dict[str, Any] | None = None,
        setup: list[str] | None = None,
        requeue: bool = True,
        cluster: Literal["slurm", "local"] = "slurm",
    ) -> None:
        if num_at_once < 1:
            raise ValueError(f"num_at_once must be at least 1, got {num_at_once}")
        if minutes < 5:
            raise ValueError(f"minutes must be at least 5, got {minutes}: jobs need time to begin")
        if importlib.util.find_spec("submitit") is None:
            raise ValueError("the launcher slurm needs submitit: pip install 'vidiff[cluster]'")
        self.num_at_once, self.cluster, self.requeue = num_at_once, cluster, requeue
        self.gpu_type, self.cpus_per_task = gpu_type, cpus_per_task
        self.parameters = {k.replace("-", "_"): v for k, v in (parameters or {}).items()}
        self._options = {
            "timeout_min": minutes, "cpus_per_task": cpus_per_task, "mem_gb": memory_gb,
            "slurm_partition": partition, "slurm_account": account, "slurm_qos": qos,
            "slurm_constraint": constraint, "slurm_exclude": exclude, "slurm_setup": setup,
            "stderr_to_stdout": True,
        }  # fmt: skip
        self._queue: Queue = SlurmQueue() if cluster == "slurm" else LocalQueue()

    def start(self, job: Job) -> Submitted:
        """Submit a job; a ``ValueError`` if there is no Slurm here, or it refuses the job."""
        import submitit

        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            raise ValueError(
                "there is no sbatch here: call this on a machine of the Slurm cluster, use the "
                "launcher local, or set launcher.cluster to local to try this one out"
            )
        folder = job.folder / FOLDER
        executor = submitit.AutoExecutor(
            folder, cluster=self.cluster, slurm_max_num_timeout=MAX_TIMEOUTS
        )
        command = Command(job.words, str(job.cwd), self._env(job), self.requeue)
        try:
            executor.update_parameters(**self._parameters(job))
            with _outside_of_jobs(), child.interruptible():
                submitted: submitit.Job[Any] = executor.submit(command)
        except (RuntimeError, ValueError, subprocess.CalledProcessError) as error:
            raise ValueError(f"{job.name} cannot be submitted: {error}") from error
        return Submitted(submitted, self._queue)

    def attach(self, record: Mapping[str, Any]) -> Submitted | None:
        if self.cluster != "slurm" or "slurm_job" not in record:
            return None
        import submitit

        found: submitit.Job[Any] = submitit.SlurmJob(
            folder=record["folder"], job_id=record["slurm_job"], tasks=range(record["num_tasks"])
        )
        is_there = self._queue.look(found)[1] is not None
        return Submitted(found, self._queue) if is_there else None

    def _parameters(self, job: Job) -> dict[str, Any]:
        """What submitit is asked for; Lightning checks that tasks and nodes are those it has."""
        srun = [] if self.cpus_per_task is None else [f"--cpus-per-task={self.cpus_per_task}"]
        if job.num_devices * job.num_nodes > 1:
            srun.append("--kill-on-bad-exit=1")  # the others would wait for it in vain
        asked = self._options | {
            "name": job.name, "nodes": job.num_nodes, "tasks_per_node": job.num_devices,
            "slurm_srun_args": srun,  # srun does not take over --cpus-per-task since Slurm 22.05
            "slurm_additional_parameters": {
                "requeue" if self.requeue else "no_requeue": True, **self.parameters
            },
        }  # fmt: skip
        if job.on_gpu and not {"gres", "gpus", "gpus_per_task"} & set(self.parameters):
            kind = f"{self.gpu_type}:" if self.gpu_type else ""
            asked["gpus_per_node"] = job.num_devices
            asked["slurm_gpus_per_node"] = f"{kind}{job.num_devices}"
        return asked

    def _env(self, job: Job) -> dict[str, str]:
        if self.cpus_per_task is None or "OMP_NUM_THREADS" in os.environ:
            return dict(job.env)
        return {"OMP_NUM_THREADS": str(self.cpus_per_task), **job.env}


class Submitted(Handle):
    """A job that was submitted to a queue."""

    def __init__(self, job: submitit.Job[Any], queue: Queue) -> None:
        self.job, self._queue = job, queue
        self._seen = time.monotonic()  # when the queue was last looked at, for this job
        self._gone: float | None = None
        self._state: State = "waiting"
        self._stopped = False

    @property
    def record(self) -> dict[str, Any]:
        return {
            "slurm_job": self.job.job_id,
            "folder": str(self.job.paths.folder),
            "num_tasks": self.job.num_tasks,
        }

    def state(self) -> State:
        if self._state in ENDED:
            return self._state
        seen, place = self._queue.look(self.job)
        if seen > self._seen:
            self._seen = seen
            self._gone = None if place else self._gone or seen
            self._state = place or self._outcome(waited=seen - (self._gone or seen))
        return self._state

    def stop(self) -> None:
        if self.state() in ENDED:
            return
        self.job.cancel(check=False)
        self._stopped = True
        patience = time.monotonic() + child.PATIENCE
        while self.state() not in ENDED and time.monotonic() < patience:
            time.sleep(0.2)

    def _outcome(self, waited: float) -> State:
        """What an ended job gave: a result of each of its tasks."""
        from submitit.core.utils import JobPaths, pickle_load

        paths = [
            JobPaths(self.job.paths.folder, self.job.job_id, task).result_pickle
            for task in range(self.job.num_tasks)
        ]
        found = [pickle_load(path)[0] for path in paths if path.exists()]
        if any(outcome != "success" for outcome in found):
            return "failed"
        if len(found) == len(paths):
            return "succeeded"
        return "failed" if self._stopped or waited > LATE else "running"


@contextmanager
def _outside_of_jobs() -> Iterator[None]:
    """Hide the job that this process runs in, if any: sbatch takes its variables for options."""
    hidden = {}
    if "SLURM_JOB_ID" in os.environ:
        names = [n for n in os.environ if n.startswith(("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_"))]
        hidden = {name: os.environ.pop(name) for name in names if name != "SLURM_CONF"}
    try:
        yield
    finally:
        os.environ.update(hidden)
