"""What is known about a clip besides its noise (kind ``condition``)."""

from vidiff.conditions.base import Condition, MakeCondition, TextCondition
from vidiff.conditions.frames import Frames
from vidiff.conditions.huggingface import HuggingFace
from vidiff.conditions.labels import Labels
from vidiff.conditions.words import Words

__all__ = [
    "Condition",
    "Frames",
    "HuggingFace",
    "Labels",
    "MakeCondition",
    "TextCondition",
    "Words",
]
