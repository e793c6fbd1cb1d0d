"""Prompts to features (kind ``text_encoder``)."""

from vidiff.text.base import MakeTextEncoder, TextEncoder
from vidiff.text.words import Words

__all__ = ["MakeTextEncoder", "TextEncoder", "Words"]
