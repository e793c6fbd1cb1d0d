"""How strongly prompts are followed (kind ``guidance``)."""

from vidiff.samplers.guidance.autoguidance import Autoguidance
from vidiff.samplers.guidance.base import Guidance, MakeGuidance
from vidiff.samplers.guidance.classifier_free import ClassifierFree
from vidiff.samplers.guidance.rescaled import Rescaled

__all__ = ["Autoguidance", "ClassifierFree", "Guidance", "MakeGuidance", "Rescaled"]
