"""Checks of this machine and installation, for ``vidiff doctor`` (kind ``check``)."""

from vidiff.doctor.base import Check, Finding, find_weights
from vidiff.doctor.codecs import Codecs
from vidiff.doctor.device import Device
from vidiff.doctor.packages import Extras, Plugins, Versions
from vidiff.doctor.space import Space
from vidiff.doctor.weights import Weights

__all__ = [
    "Check",
    "Codecs",
    "Device",
    "Extras",
    "Finding",
    "Plugins",
    "Space",
    "Versions",
    "Weights",
    "find_weights",
]
