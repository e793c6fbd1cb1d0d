"""Where the runs of an ablation run (kind ``launcher``)."""

from vidiff.ablation.launchers.base import Handle, Job, Launcher, State
from vidiff.ablation.launchers.local import Local
from vidiff.ablation.launchers.slurm import Slurm

__all__ = ["Handle", "Job", "Launcher", "Local", "Slurm", "State"]
