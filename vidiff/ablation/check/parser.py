"""Configs parsed as ``vidiff fit`` does it, a thousand of them in seconds.

A section of a config means the same by itself as with the others, and so does an argument of a
model and a setting of that: each is parsed once, as parsing is most of what checking a cell takes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import yaml
from jsonargparse import Namespace, get_loader

from vidiff.ablation.ask.nodes import Config
from vidiff.cli.model import make_parser, refuse_others
from vidiff.cli.parser import VidiffParser
from vidiff.costs.configs import arguments
from vidiff.plugins import load_all, load_plugins, requested_plugins

SECTIONS = {"seed_everything", "plugins", "data", "model", "trainer"}


class Once:
    """Memoises calls: the same arguments give the same result, or the same error."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def __call__(self, find: Callable[..., Any], *arguments: Any) -> Any:
        """The function's result, computed once for each representation of its arguments."""
        return self.keep((find.__qualname__, repr(arguments)), lambda: find(*arguments))

    def keep(self, key: Any, find: Callable[[], Any]) -> Any:
        """The function's result, computed once for each key."""
        if key not in self._known:
            try:
                self._known[key] = find()
            except Exception as error:
                self._known[key] = error
                raise
        known = self._known[key]
        if isinstance(known, Exception):
            raise known.with_traceback(None)  # or it would grow with each time
        return known


class Parser:
    """Parses configs, and refuses what ``vidiff fit -c`` refuses in them, in the same words."""

    def __init__(self, once: Once) -> None:
        load_all([])
        self.once, self.commands = once, make_parser()
        assert self.commands._subcommands_action is not None
        self._fit: Any = self.commands._subcommands_action.choices["fit"]

    def parse(self, config: Config) -> Namespace:
        """The config as ``vidiff fit -c`` reads it (or a ``UsageError``), without model defaults.

        It must not be changed: other configs share its parts.
        """
        self.once(_load_plugins, config.get("plugins"))
        if not (set(config) <= SECTIONS and config.get("model") is not None):
            return self.once(self._whole, config)
        parsed = Namespace(**vars(self._defaults))
        for name, node in config.items():
            parsed[name] = self.once(self.section, name, node)
        return parsed

    def instantiate(self, name: str, node: Any) -> Any:
        """What a parsed section stands for."""
        return self._fit.instantiate(Namespace(**{name: node}))[name]

    def argument(self, class_path: str, name: str, value: Any) -> Any:
        """One argument of a model, parsed."""
        return self.once(self._argument, class_path, name, value).init_args[name]

    def settings(self, config: Config, key: str) -> dict[str, Any]:
        """What the part at a key is built with, defaults included; a ``ValueError`` without one."""
        node: Any = self.parse(config)
        for name in key.split("."):
            inside = node.get("init_args") if "class_path" in node else node
            node = inside.get(name) if inside else None
            if not hasattr(node, "get"):
                raise ValueError(f"there is no {key} in the config whose settings could be changed")
        return arguments(node) if "class_path" in node else dict(vars(node))

    @cached_property
    def _defaults(self) -> Namespace:
        return self._fit.parse_object({}, _skip_required=True)

    def _whole(self, config: Config) -> Namespace:
        words = ["fit", "-c", yaml.safe_dump(config)]
        return _parsed(lambda: self.commands.parse_args(words).fit)

    def section(self, name: str, node: Any) -> Any:
        """One section of a config, parsed."""
        if name != "model" or not _is_plain_class(node):
            return self._alone({name: node}, defaults=name in ("data", "trainer"))[name]
        model = None
        for argument, value in node["init_args"].items():
            parsed = self.once(self._argument, node["class_path"], argument, value)
            model = model or parsed.clone()
            model.init_args[argument] = parsed.init_args[argument]
        return model

    def _argument(self, class_path: str, name: str, value: Any) -> Namespace:
        if not _is_plain_class(value):
            return self._one_argument(class_path, name, value)
        whole: Namespace | None = None
        for inner, setting in value["init_args"].items():
            alone = {"class_path": value["class_path"], "init_args": {inner: setting}}
            parsed = self.once(self._one_argument, class_path, name, alone)
            whole = whole or parsed.clone()
            whole.init_args[name].init_args[inner] = parsed.init_args[name].init_args[inner]
        assert whole is not None, "a plain class has settings"
        return whole

    def _one_argument(self, class_path: str, name: str, value: Any) -> Namespace:
        model = {"class_path": class_path, "init_args": {name: value}}
        return self._alone({"model": model}, defaults=False).model

    def _alone(self, config: Config, defaults: bool) -> Namespace:
        read = get_loader("yaml")(yaml.safe_dump(config))  # by it 1e-3 is a number, as in a file
        return _parsed(lambda: self._fit.parse_object(read, _skip_required=True, defaults=defaults))


def _parsed(parse: Callable[[], Namespace]) -> Namespace:
    """Parse as ``VidiffCLI.parse_arguments`` does."""
    VidiffParser.refusals.clear()
    parsed = parse()
    refuse_others(parsed)
    return parsed


def _load_plugins(plugins: Any) -> None:
    """Those that a config names, as the command line does before it makes its parser."""
    if isinstance(plugins, str):
        plugins = requested_plugins(["--plugins", plugins])
    load_plugins([str(name) for name in plugins] if isinstance(plugins, list) else [])


def _is_plain_class(node: Any) -> bool:
    return (
        isinstance(node, dict)
        and set(node) == {"class_path", "init_args"}
        and isinstance(node["init_args"], dict)
        and bool(node["init_args"])
        and all(str(name).isidentifier() for name in node["init_args"])
    )
