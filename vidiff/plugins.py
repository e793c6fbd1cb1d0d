"""Plugins: packages, modules and single files that register components of their own.

Three ways in, all of them a plain import after which the registry knows more names:

- an installed package that declares the entry-point group ``vidiff.plugins``::

      [project.entry-points."vidiff.plugins"]
      my_blocks = "my_blocks"

- the key ``plugins:`` of a config, a list of files and modules; files are relative to the config;
- the flag ``--plugins FILE_OR_MODULE``, before or after any command.

An installed plugin that fails is left out and reported, since nobody asked for it by name; a plugin
that was asked for and fails is an error. This module imports no Lightning and no torch.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any

from vidiff.registry import all_or_nothing

GROUP = "vidiff.plugins"
BUILTIN = (
    *("ablation.launchers", "ablation.report.columns", "ablation.report.writers", "attention"),
    *("autoencoders", "commands", "conditioning", "conditions"),
    *("data", "denoisers", "diffusion.loss_weights", "diffusion.predictions"),
    *("diffusion.schedules", "diffusion.time_samplers", "discriminators", "doctor", "guidance"),
    *("optimizers", "patchifiers", "perceptual", "positions", "reconstruction", "regularisers"),
    *("rewriters", "samplers", "samplers.spacing"),
)
"""The packages of vidiff that register components; each imports all of its own."""

_log = logging.getLogger(__name__)
_failed: dict[str, FailedPlugin] = {}


class PluginError(ValueError):
    """A plugin that was asked for by name cannot be loaded; the message is one line."""


@dataclass(frozen=True)
class FailedPlugin:
    """An installed plugin that was left out: its name, its distribution, the error in a line."""

    name: str
    package: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} (from {self.package}): {self.reason}"


def load_all(names: Sequence[str] = ()) -> None:
    """Load vidiff's own components, installed plugins, and those named, as ``load_plugins``."""
    load_builtin()
    load_installed()
    load_plugins(names)


def load_builtin() -> None:
    """Import every component family of vidiff."""
    for family in BUILTIN:
        importlib.import_module(f"vidiff.{family}")


@functools.cache
def load_installed() -> None:
    """Import the installed plugins, once a process; failures are logged and kept, not raised."""
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            with all_or_nothing():
                entry.load()
        except (Exception, SystemExit) as error:
            failure = FailedPlugin(entry.name, package_of(entry), _one_line(error, entry.module))
            _failed[entry.name] = failure
            if os.environ.get("LOCAL_RANK", "0") == "0":
                _log.warning("vidiff: warning: plugin left out: %s", failure)


def load_plugins(names: Sequence[str]) -> list[ModuleType]:
    """Import plugins by name: a file ``path/block.py``, a folder with ``__init__.py``, or a module.

    A file becomes the module of its own name, here ``block``, so that checkpoints which name its
    classes can be read again wherever the file is loaded, and its folder is put last on the import
    path. Loading one twice does nothing. Relative paths start at the working directory here. A
    ``PluginError`` says that one is not found, fails, or would hide another module.
    """
    return [_load(name) for name in names]


def failed_plugins() -> list[FailedPlugin]:
    """The installed plugins that were left out so far, by name."""
    return [_failed[name] for name in sorted(_failed)]


def left_out() -> str:
    """What an error about an unknown name adds: the installed plugins that might have known it."""
    return "".join(f"; plugin left out: {failure}" for failure in failed_plugins())


def requested_plugins(argv: Sequence[str]) -> list[str]:
    """Plugins that a command line asks for, by ``--plugins`` and by the configs that it names.

    The parser can only be built once they are loaded. Files come with absolute paths, so that what
    is saved with them can be read from anywhere.
    """
    names: list[str] = []
    for option, value in _options(argv):
        if option == "--plugins":
            names += [absolute_name(name, Path.cwd()) for name in _split(value)]
        elif option in ("-c", "--config"):
            names += _plugins_of_config(Path(value))
    return list(dict.fromkeys(names))


def config_files(argv: Sequence[str]) -> list[str]:
    """The configs that a command line names, in its order."""
    return [value for option, value in _options(argv) if option != "--plugins"]


def plugins_of(config: Any, path: Path) -> list[str]:
    """The plugins that the config of a file names; relative paths start at the file's folder."""
    plugins = config.get("plugins") if isinstance(config, dict) else None
    names = _split(plugins) if isinstance(plugins, str) else plugins
    listed = names if isinstance(names, list) else []
    return [absolute_name(str(name), path.parent) for name in listed]


def absolute_name(name: str, folder: Path) -> str:
    """The name of a plugin; of a file, its absolute path, ``folder`` being where it starts."""
    return os.path.abspath(folder / Path(name).expanduser()) if _is_path(name) else name


def _is_path(name: str) -> bool:
    return name.endswith(".py") or "/" in name or os.sep in name


def without_plugins(argv: Sequence[str]) -> list[str]:
    """The command line without its ``--plugins``."""
    words, rest = iter(argv), []
    for word in words:
        if word == "--plugins":
            next(words, None)
        elif not word.startswith("--plugins="):
            rest.append(word)
    return rest


def _options(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options that matter here, with their values."""
    wanted = ("--plugins", "--config", "-c")
    words = iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        if option in wanted:
            yield option, value if equals else next(words, "")


def _plugins_of_config(path: Path) -> list[str]:
    from vidiff.yaml_files import YamlError, read_yaml

    try:
        return plugins_of(read_yaml(path), path)
    except YamlError:  # the parser will say what is wrong with it
        return []


def _split(value: str) -> list[str]:
    """``a.py,b.py`` and ``[a.py, b.py]`` to a list."""
    names = value.strip().removeprefix("[").removesuffix("]").split(",")
    return [stripped for name in names if (stripped := name.strip().strip("'\""))]


def _load(name: str) -> ModuleType:
    try:
        with all_or_nothing():
            if _is_path(name):
                return _load_file(Path(name).expanduser())
            return importlib.import_module(name)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        module = Path(name.removesuffix("/__init__.py")).stem if _is_path(name) else name
        raise PluginError(f"plugin {name!r} failed to load: {_one_line(error, module)}") from error


def _load_file(path: Path) -> ModuleType:
    file = (path / "__init__.py" if path.is_dir() else path).resolve()
    if not file.is_file():
        raise PluginError(
            f"plugin {str(path)!r} is not a file (looked for {file}); a path in a config starts "
            "at the config's folder, one of --plugins at the working directory"
        )
    top = file.parent if file.name == "__init__.py" else file
    module = top.stem
    if not module.isidentifier():
        raise PluginError(f"plugin {str(path)!r} needs a name that Python can import, not {module}")
    loaded = sys.modules.get(module)
    origin = getattr(loaded, "__file__", None)
    if loaded is not None and origin and Path(origin).resolve() == file:
        return loaded
    found = None if loaded else importlib.util.find_spec(module)
    elsewhere = found and (found.origin is None or Path(found.origin).resolve() != file)
    if loaded is not None or elsewhere:
        raise PluginError(f"plugin {str(path)!r} would hide the module {module!r}; rename the file")
    if str(top.parent) not in sys.path:
        sys.path.append(str(top.parent))
    importlib.invalidate_caches()
    return importlib.import_module(module)


def package_of(entry: EntryPoint) -> str:
    """Name and version of the distribution that declares a plugin."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _one_line(error: BaseException, module: str) -> str:
    """What went wrong and, where it is known, in which line of the plugin."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}, line {error.lineno})"
    package = module.partition(".")[0]
    where = ""
    for frame, line in walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package:
            where = f" ({frame.f_code.co_filename}, line {line})"
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
