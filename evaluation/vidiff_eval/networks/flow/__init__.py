"""Optical flow (kind ``flow``)."""

from vidiff_eval.networks.flow.base import MakeFlow, OpticalFlow
from vidiff_eval.networks.flow.dis import DIS
from vidiff_eval.networks.flow.raft import RAFT

__all__ = ["DIS", "RAFT", "MakeFlow", "OpticalFlow"]
