"""A real Slurm of one node on this machine, from Debian's packages, without accounting.

::

    python slurm_cluster.py    # starts one, prints what to export, and keeps it until Ctrl-C
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A requeued job waits for cred_expire, which is 120 s by default.
CONF = """
ClusterName=vidiff
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,requeue_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=3
InactiveLimit=0
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 \
ThreadsPerCore=1 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=0
PartitionName=graceful Nodes={host} MaxTime=INFINITE PriorityTier=1 GraceTime=4
PartitionName=urgent Nodes={host} MaxTime=INFINITE PriorityTier=2 PreemptMode=OFF
"""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
PATIENCE = 120.0  # seconds


class NoSlurmError(RuntimeError):
    """Why no Slurm can be started here."""


@contextmanager
def slurm_cluster() -> Iterator[dict[str, str]]:
    """Start one; afterwards it is gone, with all its jobs.

    Yields:
        The environment variables by which Slurm's programs find it.

    Raises:
        NoSlurmError: if it cannot be started on this machine.
    """
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    if missing := [name for name in PROGRAMS if shutil.which(name, path=path) is None]:
        raise NoSlurmError(
            f"{', '.join(missing)} not found: apt-get install slurmctld slurmd slurm-client munge"
        )
    if os.getuid() != 0:
        raise NoSlurmError("slurmd runs jobs as root only: run the tests as root")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # sockets need short paths
    env = {"PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        _configure(folder)
        munged = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key"]
        munged += [f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid"]
        munged += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
        for words in (munged, ["slurmctld", "-D", "-i"], ["slurmd", "-D", "-N", _host()]):
            daemons.append(_start(words, env, folder))
            if words[0] == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), folder, daemons)
        _wait(lambda: _ask(["sinfo", "-h", "-o", "%T"], env) == "idle", folder, daemons)
        yield env
    finally:
        if len(daemons) > 1:
            _ask(["scancel", "--user", getpass.getuser()], env)
            _quiet(lambda: _ask(["squeue", "-h"], env) == "")
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path) -> None:
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    ports = [_free_port(), _free_port()]
    text = CONF.format(folder=folder, host=_host(), ports=ports, user=getpass.getuser())
    (folder / "slurm.conf").write_text(text)
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)


def _start(words: list[str], env: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / f"{words[0]}.out").open("wb") as out:
        return subprocess.Popen(words, env={**os.environ, **env}, stdout=out, stderr=out)


def _wait(is_up, folder: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    if not _quiet(is_up, daemons):
        said = [
            f"{file.name}: {file.read_text(errors='replace')[-600:]}"
            for file in sorted([*folder.glob("*.log"), *folder.glob("*.out")])
        ]
        raise NoSlurmError("Slurm's daemons did not come up:\n" + "\n".join(said))


def _quiet(is_up, daemons: list[subprocess.Popen[bytes]] = ()) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and all(daemon.poll() is None for daemon in daemons):
        if is_up():
            return True
        time.sleep(0.1)
    return False


def _ask(words: list[str], env: dict[str, str]) -> str:
    result = subprocess.run(words, env={**os.environ, **env}, capture_output=True, text=True)
    return result.stdout.strip()


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    with slurm_cluster() as variables:
        for variable, value in variables.items():
            print(f"export {variable}={value}", flush=True)
        while True:
            time.sleep(60)
