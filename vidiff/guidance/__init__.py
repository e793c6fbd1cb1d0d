"""How strongly conditions are followed (kind ``guidance``)."""

from vidiff.guidance.autoguidance import Autoguidance
from vidiff.guidance.base import Guidance, MakeGuidance, Steered
from vidiff.guidance.classifier_free import ClassifierFree
from vidiff.guidance.rescaled import Rescaled
from vidiff.guidance.several import Several

__all__ = [
    "Autoguidance",
    "ClassifierFree",
    "Guidance",
    "MakeGuidance",
    "Rescaled",
    "Several",
    "Steered",
]
