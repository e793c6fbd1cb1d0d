"""Losses on what blocks compute inside (kind ``regulariser``)."""

from vidiff.regularisers.base import MakeRegulariser, Regulariser
from vidiff.regularisers.dispersive import Dispersive

__all__ = ["Dispersive", "MakeRegulariser", "Regulariser"]
