"""Errors that a user can mend, said in a line each."""

from __future__ import annotations

from collections.abc import Sequence


class UsageError(Exception):
    """What was asked is not possible; the message is one line and names the next step.

    No ``ValueError``, because jsonargparse catches those to try the next reading of a value.
    """


class Errors(ValueError):
    """Everything that is wrong, a line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)
