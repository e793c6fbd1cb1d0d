"""How clean video turns into noise (kind ``schedule``)."""

from vidiff.diffusion.schedules.base import MakeSchedule, Schedule
from vidiff.diffusion.schedules.cosine import Cosine
from vidiff.diffusion.schedules.linear_beta import LinearBeta
from vidiff.diffusion.schedules.rectified import Rectified

__all__ = ["Cosine", "LinearBeta", "MakeSchedule", "Rectified", "Schedule"]
