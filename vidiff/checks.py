"""Checks of numbers that users give; 0 is a number as any other, not "not given"."""

from __future__ import annotations


def at_least(least: int, **numbers: float | None) -> None:
    """Raise a ``ValueError`` that names the option whose number is below the least that is allowed.

    None was not given.
    """
    for name, number in numbers.items():
        if number is not None and number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")


def positive(**numbers: float | None) -> None:
    """Raise a ``ValueError`` that names the option whose number is not above 0, if it is given."""
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be positive, got {number}")
