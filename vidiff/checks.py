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


def within(low: float, high: float, **numbers: float) -> None:
    """Check that numbers are within [low, high]; a ``ValueError`` names one that is not."""
    for name, number in numbers.items():
        if not low <= number <= high:
            raise ValueError(f"{name} must be within [{low}, {high}], got {number}")


def among_heads(num_heads: int, **widths: int) -> None:
    """Check that a width divides among attention heads.

    Raises:
        ValueError: if it does not, or either is below 1; names both.
    """
    for name, width in widths.items():
        at_least(1, **{name: width}, num_heads=num_heads)
        if width % num_heads:
            raise ValueError(f"{name} {width} does not divide among num_heads {num_heads}")
