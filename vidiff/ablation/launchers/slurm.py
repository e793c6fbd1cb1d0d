"""Runs on a cluster managed by Slurm, by way of submitit."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from vidiff.ablation.launchers import child
from vidiff.ablation.launchers.base import Handle, Job, Launcher, State
from vidiff.registry import register

if TYPE_CHECKING:
    import submitit

FOLDER = "slurm"
"""Where in a run's folder submitit keeps its files; ``*_log.out`` is what the job printed."""

MAX_TIMEOUTS = 100
"""Turns of ``minutes`` that a run may take."""

INTERVAL = 5.0
"""Seconds between two questions to Slurm."""

WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}
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
        self._queue = SlurmQueue() if cluster == "slurm" else LocalQueue()

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

    def __init__(self, job: submitit.Job[Any], queue: SlurmQueue | LocalQueue) -> None:
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
        from submitit.core.utils import JobPaths, pickle_load

        tasks = range(self.job.num_tasks)
        files = [JobPaths(self.job.paths.folder, self.job.job_id, t).result_pickle for t in tasks]
        found = [pickle_load(file)[0] for file in files if file.exists()]
        if any(outcome != "success" for outcome in found):
            return "failed"
        if len(found) == len(files):
            return "succeeded"
        return "failed" if self._stopped or waited > LATE else "running"


class SlurmQueue:
    """The user's jobs in Slurm, by ``squeue``.

    ``squeue`` is called once in ``INTERVAL`` seconds, however many jobs there are and however often
    each is asked for. (submitit asks ``sacct``, at last every ten minutes; that needs accounting.)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, State] = {}
        self._asked = self._known = float("-inf")

    def look(self, job: submitit.Job[Any]) -> tuple[float, State | None]:
        """When ``squeue`` last answered (monotonic clock), and the job's place there, if any."""
        with self._lock:
            if time.monotonic() - self._asked >= INTERVAL:
                self._ask()
            return self._known, self._jobs.get(job.job_id)

    def _ask(self) -> None:
        self._asked = time.monotonic()
        words = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "%i %T"]
        result = subprocess.run(words, capture_output=True, text=True)
        if result.returncode:  # slurmctld is away; its jobs are not
            warnings.warn(
                f"squeue: {result.stderr.strip()}; asking again in {INTERVAL:g} s", stacklevel=2
            )
            return
        lines = [line.split() for line in result.stdout.splitlines()]
        self._jobs = {job: "waiting" if state in WAITING else "running" for job, state in lines}
        self._known = self._asked


class LocalQueue:
    """The processes of submitit's local executor."""

    def look(self, job: submitit.Job[Any]) -> tuple[float, State | None]:
        """Now, and whether the job runs."""
        return time.monotonic(), None if job.done() else "running"


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


@dataclass
class Command:
    """What submitit starts in each task of a job; only these plain values travel there."""

    words: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    requeue: bool

    def __call__(self) -> None:
        """Run the command; a ``RuntimeError`` if it fails."""
        told: list[int] = []

        def tell(number: int, frame: FrameType | None) -> None:
            told.append(number)

        signal.signal(signal.SIGTERM, tell)
        process = child.start(self.words, self.cwd, self.env)
        try:
            while process.poll() is None and not told:
                time.sleep(0.1)
            if told:
                self._leave(process)
        finally:  # also when submitit requeues, on its own signal
            child.end(process)
        if process.returncode:
            raise RuntimeError(f"{self.words[0]} ended with exit status {process.returncode}")

    def checkpoint(self) -> Any:
        """What submitit is to run when the job is started again: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(replace(self)) if self.requeue else None

    def _leave(self, process: subprocess.Popen[bytes]) -> None:
        """End, told by SIGTERM.

        Slurm has cancelled or requeued the job by now, whatever its exit status; or a task of it
        failed; or it is given time before it is preempted (GraceTime), and were it to end by
        itself in that time, Slurm would take it for failed: then it is requeued here.
        """
        if _is_in_grace():
            from submitit.core.job_environment import JobEnvironment

            usual = signal.getsignal(JobEnvironment._usr_sig())
            assert callable(usual)
            usual(signal.SIGTERM, None)  # the first task requeues the job, and exits
            child.end(process)
            time.sleep(child.PATIENCE)  # the others wait for that
        sys.exit(128 + signal.SIGTERM)


def _is_in_grace() -> bool:
    """Whether the job that this process belongs to is to be preempted, but still runs."""
    if (job := os.environ.get("SLURM_JOB_ID")) is None:
        return False
    words = ["squeue", "--noheader", "--jobs", job, "--Format", "State:20,PreemptTime:20"]
    said = subprocess.run(words, capture_output=True, text=True).stdout.split()
    return said[:1] == ["RUNNING"] and said[1:] != ["N/A"]
