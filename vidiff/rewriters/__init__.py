"""Prompt rewriters: fuller prompts, in the style of the captions a model was trained on."""

from vidiff.rewriters.base import MakeRewriter, Rewriter, Rewritten
from vidiff.rewriters.chat import Chat
from vidiff.rewriters.local import Local
from vidiff.rewriters.template import Template

__all__ = ["Chat", "Local", "MakeRewriter", "Rewriter", "Rewritten", "Template"]
