"""Errors that are noted: all that is wrong before the work, and what fails during it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from vidiff.errors import Errors, UsageError

Reasons = dict[str, str]
"""By what was not measured, in words, the reason in one line."""


@contextmanager
def collecting(errors: list[str]) -> Iterator[None]:
    """Go on after an error meant for users, with a line for it added to ``errors``."""
    try:
        yield
    except Errors as error:
        errors += error.lines
    except (ValueError, UsageError) as error:
        errors.append(" ".join(str(error).split()))


@contextmanager
def noting(reasons: Reasons | None, what: str) -> Iterator[None]:
    """Go on after any error, with its reason noted: a failing metric must not cost the report.

    Without ``reasons`` it is raised.
    """
    try:
        yield
    except Exception as error:
        if reasons is None:
            raise
        reasons[what] = one_line(error)


def each_or_none(
    names: Sequence[str], do: Callable[[Sequence[str]], None], failed: Reasons, *, is_all: bool
) -> list[str]:
    """Do something for all names of metrics in one pass; if that fails, for each one by itself.

    ``do`` raises on all processes if on one. The reasons go into ``failed``, but if ``is_all``, as
    there are no other metrics, it is an error if all fail. Returns the names that did not fail.
    """
    try:
        do(names)
        return [*names]
    except (ValueError, RuntimeError) as error:
        if is_all and len(names) == 1:
            raise
        first = error
    kept = []
    for name in names:
        try:
            do([name])
        except (ValueError, RuntimeError) as error:
            failed[name] = one_line(error)
        else:
            kept.append(name)
    if is_all and not kept:
        raise first
    return kept


def one_line(error: Exception) -> str:
    """An error in one line, with its kind unless it was meant for a user."""
    words = " ".join(str(error).split())
    return words if isinstance(error, ValueError) and words else f"{type(error).__name__}: {words}"
