"""Commands of the ``vidiff`` program that train nothing (kind ``command``)."""

from vidiff.commands.base import Command
from vidiff.commands.components import Components

__all__ = ["Command", "Components"]
