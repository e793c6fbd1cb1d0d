"""Text encoders that transformers saved, from local folders."""

from vidiff.conditions.huggingface.huggingface import HuggingFace

__all__ = ["HuggingFace"]
