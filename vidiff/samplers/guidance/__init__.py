"""How strongly prompts are followed (kind ``guidance``)."""

from vidiff.samplers.guidance.base import Guidance, MakeGuidance
from vidiff.samplers.guidance.classifier_free import ClassifierFree

__all__ = ["ClassifierFree", "Guidance", "MakeGuidance"]
