"""Evaluation of samples while a model trains; importing this imports Lightning."""

from vidiff_eval.training.evaluate_samples import EvaluateSamples

__all__ = ["EvaluateSamples"]
