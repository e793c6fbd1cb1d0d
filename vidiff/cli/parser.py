"""The parser of model commands."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from os.path import isfile
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from lightning.pytorch.cli import LightningArgumentParser

from vidiff.cli.errors import Refusal, explain
from vidiff.cli.help import HelpFormatter, short_page
from vidiff.errors import UsageError
from vidiff.plugins import config_files
from vidiff.registry import get_component
from vidiff.yaml_files import lines_of, read_text, read_yaml


class VidiffParser(LightningArgumentParser):
    """Says in one line what is wrong, and never abbreviates an option."""

    refusals: ClassVar[list[Refusal]] = []  # shared: nested parsers are made by jsonargparse
    full_help: ClassVar[bool] = False
    configs: ClassVar[list[str]] = []  # of the command line, to say where a mistake is
    words: ClassVar[list[str]] = []
    subcommand: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", HelpFormatter)
        super().__init__(*args, **kwargs)

    def parse_args(self, args: Any = None, *rest: Any, **kwargs: Any) -> Any:
        """Parse a command line; ``UsageError`` names what is wrong, with the config's line."""
        words = list(sys.argv[1:] if args is None else args)
        for config in config_files(words):
            if isfile(config):  # and not YAML itself, which may be too long for a name
                read_yaml(Path(config))
        before = VidiffParser.configs, VidiffParser.words
        VidiffParser.configs, VidiffParser.words = config_files(words), words
        try:
            return super().parse_args(args, *rest, **kwargs)
        finally:
            VidiffParser.configs, VidiffParser.words = before

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = re.sub(rf"(required: |, |key \"){self.command_asked()}\.", r"\1", message)
        self.refusals.append(Refusal(message, self.option_names()))
        if not self.exit_on_error:
            super().error(message, ex)
        refusals = list(self.refusals)
        self.refusals.clear()
        raise UsageError(with_place(explain(message, refusals), self.configs, self.words)) from ex

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        """The short page for a command, unless ``--help-all`` asks for everything."""
        command = getattr(self, "subcommand", None)
        if command is None or self.full_help:
            return super().format_help(*args, **kwargs)
        return short_page(self, command, get_component("command", command).summary)

    def command_asked(self) -> str | None:
        """The command that is being parsed, if this is the parser of all of them."""
        commands = self._subcommands_action.choices if self._subcommands_action else {}
        return next((word for word in getattr(self, "args", []) if word in commands), None)

    def option_names(self) -> tuple[str, ...]:
        """The dotted options, of the command that is being parsed where this parser has any."""
        asked, commands = self.command_asked(), self._subcommands_action
        actions = commands.choices[asked]._actions if asked and commands else self._actions
        names = [o[2:] for a in actions for o in a.option_strings if o.startswith("--")]
        return tuple(n for n in names if not re.search(r"help$|\+$|^print_", n))


def with_place(message: str, configs: Iterable[str | Path], words: Sequence[str] = ()) -> str:
    """Returns an error with the file and the line that it comes from, where that can be told.

    Its message begins with the key of what is wrong. Later files win, and ``words`` of the command
    line win over files.
    """
    found = re.match(r"unknown option '([^']+)'|([\w.]+): ", message)
    if not found:
        return message
    key = found[1] or found[2]
    if any(re.match(rf"--{re.escape(key)}([=.+]|$)", word) for word in words):
        return message
    for config in reversed(list(configs)):
        if line := _line(Path(config), key):
            return f"{message} ({config}, line {line})"
    return message


def _line(config: Path, key: str) -> int | None:
    if not isfile(config):
        return None
    try:
        lines = lines_of(read_text(config))
    except UsageError:
        return None
    for path, line in lines.items():
        if key == ".".join(part for part in path if part != "init_args" and not part.isdigit()):
            return line
    return None
