"""Latents to tokens and back (kind ``patchifier``)."""

from vidiff.patchifiers.base import MakePatchifier, Patchifier
from vidiff.patchifiers.frame import Frame
from vidiff.patchifiers.tubelet import Tubelet

__all__ = ["Frame", "MakePatchifier", "Patchifier", "Tubelet"]
