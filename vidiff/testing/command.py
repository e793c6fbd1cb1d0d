"""What is checked of the kind ``command``."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable

import docstring_parser

from vidiff.commands.base import Command, LightCommand


def check(make: Callable[..., Command]) -> None:
    """Assert what the base class promises."""
    command = make()
    if isinstance(command, LightCommand):
        command.add_arguments(argparse.ArgumentParser())
    elif work := getattr(command, "work", None):
        options = inspect.signature(work).parameters.keys() - {"trainer", "model", "datamodule"}
        documented = {p.arg_name for p in docstring_parser.parse(work.__doc__ or "").params}
        assert options <= documented, f"no line under Args: of work for {options - documented}"
