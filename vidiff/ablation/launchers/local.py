"""Runs on this machine, in turn or several at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping

from vidiff.ablation.launchers.base import Handle, Job, Launcher, State
from vidiff.ablation.launchers.child import PATIENCE
from vidiff.registry import register


@register("local")
class Local(Launcher):
    """Runs on this machine: one after the other, or several at once with its cores or GPUs divided.

    Each job has cores of its own, and as many threads; on GPUs, devices of its own.

    Args:
        num_at_once: runs side by side.
        gpus: numbers of the GPUs that runs may use; null is all that are visible.
    """

    def __init__(self, num_at_once: int = 1, gpus: list[int] | None = None) -> None:
        if num_at_once < 1:
            raise ValueError(f"num_at_once must be at least 1, got {num_at_once}")
        self.num_at_once, self.gpus = num_at_once, gpus
        self._slots: dict[int, Process] = {}

    def start(self, job: Job) -> Process:
        """Start a process in a free slot; a ``ValueError`` if a slot lacks devices or nodes."""
        if job.num_nodes > 1:
            raise ValueError(
                f"{job.name} asks for {job.num_nodes} nodes, and the launcher local has only this "
                "machine: use slurm, or set trainer.num_nodes to 1"
            )
        taken = {k for k, process in self._slots.items() if process.popen.poll() is None}
        slot = next(k for k in range(self.num_at_once) if k not in taken)
        env, cores = {}, self._cores(slot)
        if job.on_gpu:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(self._devices(slot, job))
        if self.num_at_once > 1 and "OMP_NUM_THREADS" not in os.environ:
            env["OMP_NUM_THREADS"] = str(max(1, len(cores) // max(1, job.num_devices)))
        process = Process(job, env)
        if self.num_at_once > 1 and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):  # it has ended, or the system does not allow it
                os.sched_setaffinity(process.popen.pid, cores)
        self._slots[slot] = process
        return process

    def _cores(self, slot: int) -> set[int]:
        """A slot's share of the cores that this process may use; all have one at least."""
        every = range(os.cpu_count() or 1)
        have = sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else every)
        each = max(1, len(have) // self.num_at_once)
        start = slot * each % len(have)
        return set(have[start : start + each])

    def _devices(self, slot: int, job: Job) -> list[str]:
        visible = _visible() if self.gpus is None else [str(gpu) for gpu in self.gpus]
        each = len(visible) // self.num_at_once
        if each < job.num_devices:
            raise ValueError(
                f"{job.name} asks for {job.num_devices} GPUs, and {self.num_at_once} runs at once "
                f"leave each {each} of {len(visible)}: lower launcher.num_at_once"
            )
        return visible[slot * each : slot * each + job.num_devices]


class Process(Handle):
    """A process of this machine, the head of a group of its own."""

    def __init__(self, job: Job, env: Mapping[str, str]) -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / "log.txt").open("ab") as log:
            self.popen = subprocess.Popen(
                job.words, cwd=job.cwd, env={**os.environ, **env, **job.env},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the caller, who ends jobs in good order
            )  # fmt: skip

    def state(self) -> State:
        code = self.popen.poll()
        return "running" if code is None else "failed" if code else "succeeded"

    def stop(self) -> None:
        if self.popen.poll() is not None:
            return
        self.popen.terminate()
        try:
            self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def _visible() -> list[str]:
    """The GPUs that this process may use, without starting CUDA in it."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [device for device in named.split(",") if device]
    code = "import torch; print(torch.cuda.device_count())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [str(number) for number in range(int(found.stdout))]
