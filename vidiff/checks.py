"""Checks of numbers that users give; 0 is a number as any other, not "not given"."""

from __future__ import annotations


def at_least(least: int, **numbers: float | None) -> None:
    """Check that numbers are not below the least that makes sense.

    Args:
        least: allowed.
        numbers: by the name of their option; None was not given.

    Raises:
        ValueError: if one is smaller; names it.
    """
    for name, number in numbers.items():
        if number is not None and number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")


def positive(**numbers: float | None) -> None:
    """Check that numbers are above 0.

    Args:
        numbers: by the name of their option; None was not given.

    Raises:
        ValueError: if one is not; names it.
    """
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be positive, got {number}")
