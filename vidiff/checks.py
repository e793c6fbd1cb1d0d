"""Checks of numbers that users give; 0 is a number as any other, not "not given"."""

from __future__ import annotations


def at_least(least: int, **numbers: float | None) -> None:
    """Raise a ``ValueError`` that names the option whose number is too low, if it is given."""
    for name, number in numbers.items():
        if number is not None and number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")


def positive(**numbers: float | None) -> None:
    """Raise a ``ValueError`` that names the option whose number is not above 0, if it is given."""
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise ValueError(f"{name} must be positive, got {number}")


def within(low: float, high: float, **numbers: float) -> None:
    """Raise a ``ValueError`` that names the option whose number is not within [low, high]."""
    for name, number in numbers.items():
        if not low <= number <= high:
            raise ValueError(f"{name} must be within [{low}, {high}], got {number}")


def among_heads(num_heads: int, **widths: int) -> None:
    """Raise a ``ValueError`` if a width does not divide among attention heads."""
    for name, width in widths.items():
        at_least(1, **{name: width}, num_heads=num_heads)
        if width % num_heads:
            raise ValueError(f"{name} {width} does not divide among num_heads {num_heads}")
