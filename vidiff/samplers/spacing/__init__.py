"""Where a sampler's steps stand in time (kind ``spacing``)."""

from vidiff.samplers.spacing.base import MakeSpacing, Spacing
from vidiff.samplers.spacing.even import Even
from vidiff.samplers.spacing.karras import Karras
from vidiff.samplers.spacing.sit import SiT

__all__ = ["Even", "Karras", "MakeSpacing", "SiT", "Spacing"]
