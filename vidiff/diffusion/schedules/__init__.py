"""How clean video turns into noise (kind ``schedule``)."""

from vidiff.diffusion.schedules.base import MakeSchedule, Schedule
from vidiff.diffusion.schedules.cosine import Cosine
from vidiff.diffusion.schedules.edm import EDM
from vidiff.diffusion.schedules.linear_beta import LinearBeta
from vidiff.diffusion.schedules.rectified import Rectified
from vidiff.diffusion.schedules.vp import VP

__all__ = ["EDM", "VP", "Cosine", "LinearBeta", "MakeSchedule", "Rectified", "Schedule"]
