"""Commands that are methods of the trainer."""

from __future__ import annotations

from vidiff.commands.base import ModelCommand
from vidiff.registry import register


@register("fit")
class Fit(ModelCommand):
    """Train a model as a config says, or go on from a checkpoint."""


@register("validate")
class Validate(ModelCommand):
    """Measure a checkpoint on the validation split."""

    needs_checkpoint = True


@register("test")
class Test(ModelCommand):
    """Measure a checkpoint on the test split."""

    needs_checkpoint = True


@register("sample")
class Sample(ModelCommand):
    """Make videos from prompts with a checkpoint."""

    needs_checkpoint = True


@register("encode")
class Encode(ModelCommand):
    """Run the frozen encoders over a dataset once, to train from its latents."""
