"""The program: finds the command, and turns errors that a user can mend into one line."""

from __future__ import annotations

import io
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import NoReturn

from vidiff.cli.errors import unknown
from vidiff.commands.base import LightCommand
from vidiff.errors import Errors, UsageError
from vidiff.faults import fault_of
from vidiff.plugins import PluginError, left_out, load_all, requested_plugins, without_plugins
from vidiff.registry import Component, get_kind, nearest
from vidiff.version import __version__

INTERRUPTED = 130
TERMINATED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vidiff`` with the arguments of this process, or with ``argv``.

    Returns:
        0 if all went well, 1 after NaN or infinity, 2 after an error that the user can mend, 130
        after Ctrl-C, 143 after SIGTERM.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words or os.environ.get("VIDIFF_DEBUG", "0") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as stop:
        # Lightning ends an interrupted run by exit(1).
        if isinstance(stop.__context__, KeyboardInterrupt):
            return INTERRUPTED
        if type(stop).__name__ == "SIGTERMException":  # Lightning's, with no status: work is left
            return TERMINATED
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        diverged = isinstance(error, FloatingPointError)
        plain = isinstance(error, (UsageError, Errors, PluginError))
        fault = None if diverged or plain or debug else fault_of(error)
        if fault and fault.in_command and _can_be_mended(error):
            fault = None  # what a plugin's command says to its user
        if debug or not (diverged or fault or _can_be_mended(error)):
            raise
        lines = error.lines if isinstance(error, Errors) else [str(fault or _one_line(error))]
        for line in lines:
            hint = "" if plain else " (--debug shows where)"
            print(f"vidiff: error: {line}{hint}", file=sys.stderr)
        return 1 if diverged else 2


def _dispatch(words: list[str]) -> int:
    plugins = requested_plugins(words)
    words = without_plugins(words)
    if words[:1] == ["--version"]:
        print(f"vidiff {__version__}")
        return 0
    load_all(plugins)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    name, commands = words[0], get_kind("command").components
    if name not in commands:
        known = [c.name for group in _commands() for c in group]
        hint = "; the command comes first, as in `vidiff fit -c …`" if name.startswith("-") else ""
        raise UsageError(
            f"unknown command {name!r}{nearest(name, known)}; known: {', '.join(known)}{hint}"
            f"{left_out()}"
        )
    command = commands[name].cls()
    if isinstance(command, LightCommand):
        return _run_light(command, name, words[1:], plugins)
    from vidiff.cli.model import run

    return run(words, plugins)


def _commands() -> tuple[list[Component], list[Component]]:
    """Those of models, in the order of their registration, and light ones, by name."""
    groups: tuple[list[Component], list[Component]] = [], []
    for component in get_kind("command").components.values():
        groups[issubclass(component.cls, LightCommand)].append(component)
    return groups[0], sorted(groups[1], key=lambda component: component.name)


def _run_light(
    command: LightCommand, name: str, words: Sequence[str], plugins: Sequence[str]
) -> int:
    parser = LightParser(prog=f"vidiff {name}", description=command.__doc__, allow_abbrev=False)
    parser.add_argument("--plugins", metavar="FILE_OR_MODULE", help="load these first")
    command.add_arguments(parser)
    args, rest = parser.parse_known_args(words)
    if rest and not command.passes_on:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    args.rest, args.plugins = rest, list(plugins)
    return int(command.run(args))


class LightParser(ArgumentParser):
    """Refuses an unknown option with the nearest that there is."""

    def error(self, message: str) -> NoReturn:
        option = next((w for w in message.split() if w.startswith("--")), None)
        if message.startswith("unrecognized arguments") and option:
            known = [o[2:] for a in self._actions for o in a.option_strings if o[:2] == "--"]
            name = option[2:].partition("=")[0]
            message = unknown(name, name, known)
        raise UsageError(f"{self.prog.removeprefix('vidiff ')}: {message}")


def _help() -> str:
    of_models, light = _commands()
    width = max(len(c.name) for c in (*of_models, *light))
    lists = [
        "\n".join(f"  {c.name:<{width}}  {c.summary}" for c in group)
        for group in (of_models, light)
    ]
    return f"""\
vidiff: change one line of YAML, and learn whether it helped.

usage: vidiff COMMAND [-c CONFIG] [--KEY VALUE …]

{lists[0]}

{lists[1]}

  --version         print the version
  --plugins X       load a file or module that registers components of its own
  --debug           show the traceback of an error (as VIDIFF_DEBUG=1 does)

`vidiff COMMAND --help` shows the options of a command."""


def _can_be_mended(error: Exception) -> bool:
    """Whether an error says what was asked for wrongly, as opposed to a mistake in the code."""
    from_lightning = type(error).__name__ == "MisconfigurationException"
    return from_lightning or isinstance(error, (UsageError, ValueError, OSError))


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split()) or type(error).__name__
