"""Commands of the ``vidiff`` program (kind ``command``)."""

from vidiff.commands.ablate import Ablate
from vidiff.commands.base import Command, LightCommand, ModelCommand
from vidiff.commands.check import CheckComponents
from vidiff.commands.components import Components
from vidiff.commands.doctor import Doctor
from vidiff.commands.import_weights import ImportWeights
from vidiff.commands.plan import Plan
from vidiff.commands.recaption import Recaption

__all__ = [
    "Ablate",
    "CheckComponents",
    "Command",
    "Components",
    "Doctor",
    "ImportWeights",
    "LightCommand",
    "ModelCommand",
    "Plan",
    "Recaption",
]
