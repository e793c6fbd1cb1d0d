"""Commands of the ``vidiff`` program that train nothing (kind ``command``)."""

from vidiff.commands.ablate import Ablate
from vidiff.commands.base import Command
from vidiff.commands.components import Components
from vidiff.commands.doctor import Doctor
from vidiff.commands.import_weights import ImportWeights
from vidiff.commands.plan import Plan

__all__ = ["Ablate", "Command", "Components", "Doctor", "ImportWeights", "Plan"]
