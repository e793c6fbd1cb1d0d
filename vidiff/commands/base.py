"""What a command promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from typing import ClassVar

from vidiff.registry import kind


@kind("command")
class Command(ABC):
    """A command of the ``vidiff`` program that trains nothing.

    It is started without Lightning, so its module must not import Lightning, torchmetrics or timm
    at its head. The first line of a command's docstring is its line in ``vidiff --help``.

    Attributes:
        passes_on: whether options that it does not declare are left in ``args.rest``, a list of
            words, instead of being refused.
    """

    passes_on: ClassVar[bool] = False

    @abstractmethod
    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command's options.

        ``--plugins`` is declared and done already; ``args.plugins`` lists their names.
        """

    @abstractmethod
    def run(self, args: Namespace) -> int:
        """Do the work and return the exit status.

        Raises:
            ValueError: for what the user can mend; the program shows it in one line.
        """
