"""Prompts to features (kind ``text_encoder``)."""

from vidiff.text.base import MakeTextEncoder, TextEncoder
from vidiff.text.labels import Labels
from vidiff.text.words import Words

__all__ = ["Labels", "MakeTextEncoder", "TextEncoder", "Words"]
