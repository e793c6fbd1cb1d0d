"""Where tokens stand (kind ``positions``)."""

from vidiff.positions.base import Layout, MakePositions, Positions, Rotary, coordinates, rotate
from vidiff.positions.factorised import Factorised
from vidiff.positions.learned import Learned
from vidiff.positions.rope import Rope
from vidiff.positions.sincos import SinCos

__all__ = [
    "Factorised",
    "Layout",
    "Learned",
    "MakePositions",
    "Positions",
    "Rope",
    "Rotary",
    "SinCos",
    "coordinates",
    "rotate",
]
