"""Command interface, and the commands that are methods of the trainer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from typing import ClassVar

from vidiff.registry import kind, register


@kind("command")
class Command:
    """A command of the ``vidiff`` program: a ``LightCommand`` or a ``ModelCommand``.

    The first line of its docstring is its line in ``vidiff --help``, which imports all of them: no
    command's module may import Lightning, torchmetrics or timm at its head.
    """


class LightCommand(Command, ABC):
    """A command that trains nothing, and is started without Lightning.

    Where it ``passes_on``, options that it does not declare are left in ``args.rest``, a list of
    words, instead of being refused.
    """

    passes_on: ClassVar[bool] = False

    @abstractmethod
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare options; ``--plugins`` is there already, and ``args.plugins`` lists its names."""

    @abstractmethod
    def run(self, args: Namespace) -> int:
        """Do the work, return the exit status; a ``ValueError`` is shown to the user in a line."""


class ModelCommand(Command):
    """A command in which the trainer, the model and the data of a config take part.

    It takes every option that a config can hold, and those of its method ``work``, which does the
    work: its arguments ``trainer``, ``model`` and ``datamodule`` are given, if it names them; all
    others are options, of the types that it annotates and with the lines that stand under its
    ``Args:``. Without such a method it is the trainer's method of the command's name::

        @register("latents-mean")
        class LatentsMean(ModelCommand):
            \"\"\"Print the mean of the training latents.\"\"\"

            def work(self, model: Task, datamodule: VideoDataModule, num_batches: int = 8) -> None:
    """

    needs_checkpoint: ClassVar[bool] = False  # whether ``--ckpt_path`` has to be given


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
