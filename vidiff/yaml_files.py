"""YAML as vidiff reads it, in files and on the command line: a key given twice is refused.

PyYAML keeps the last of two equal keys and says nothing, so the first block of a config would be
dropped in silence. Anchors and merge keys (``<<: *base``) work as in PyYAML: a key that overrides
a merged one is given once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from vidiff import files
from vidiff.errors import UsageError

Key = tuple[str, ...]  # the keys and list indices from the top of a file to one of its values


class YamlError(UsageError):
    """A YAML text that cannot be read, in one line that names its file and its lines."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; a ``YamlError`` if it is none or cannot be read."""
    node = load_yaml(read_text(path), path)
    if not isinstance(node, dict):
        raise YamlError(f"{path} is no mapping of keys to values")
    return node


def read_text(path: Path) -> str:
    """As ``vidiff.files.read_text``; a ``YamlError`` names the file and the line."""
    try:
        return files.read_text(path)
    except ValueError as error:
        raise YamlError(str(error)) from error


def load_yaml(text: str, name: str | Path = "") -> Any:
    """As ``yaml.safe_load``; a ``YamlError`` if a key is given twice, which names the file."""
    import yaml  # here, as light modules import this one

    try:
        return yaml.load(text, _strict(_loader()))
    except (DuplicateKeyError, yaml.YAMLError) as error:
        raise _named(error, name) from error


def lines_of(text: str) -> dict[Key, int]:
    """The line of each key and list item of a YAML text, by its path from the top."""
    import yaml

    root = yaml.compose(text, _loader())
    return {path: line for path, line, _ in _entries(root)} if root else {}


class DuplicateKeyError(YamlError):
    """A key that a mapping has twice, with both lines."""


def teach_jsonargparse() -> None:
    """Let jsonargparse read YAML like this, wherever it does; calling it twice does nothing.

    It has one loader class, which ``set_loader`` does not replace for values of options.
    """
    from jsonargparse import _loaders_dumpers, set_loader
    from jsonargparse._util import config_load_stack
    from yaml import YAMLError

    if getattr(_loaders_dumpers.get_yaml_default_loader(), "refuses_duplicates", False):
        return
    _loaders_dumpers.yaml_default_loader = _strict(_loaders_dumpers.get_yaml_default_loader())

    def load(text: str) -> Any:
        stack = config_load_stack.get()
        file = Path(stack[-1][0]) if stack else None
        try:
            return _loaders_dumpers.yaml_load(text)
        except (DuplicateKeyError, YAMLError) as error:
            if file is not None and _is_content(text, file):
                raise _named(error, stack[-1][1]) from error
            if isinstance(error, DuplicateKeyError) and text.lstrip()[:1] not in ("{", "["):
                raise YAMLError(str(error)) from error  # a string of several lines: a prompt
            raise

    set_loader("yaml", load, (YAMLError,))


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _strict(loader: Any) -> Any:
    """A loader class that raises ``DuplicateKeyError``, from one of PyYAML's."""

    class Strict(loader):
        refuses_duplicates = True

        def construct_document(self, node: Any) -> Any:
            """Look before anything is built: merging would put equal keys into one mapping."""
            if twice := list(_twice(node)):
                raise DuplicateKeyError("; ".join(twice))
            return super().construct_document(node)

    return Strict


def _twice(root: Any) -> Iterator[str]:
    places: dict[tuple[int, str, str], list[tuple[Key, int]]] = {}
    for path, line, (mapping, key) in _entries(root):
        if key is not None:
            places.setdefault((mapping, *key), []).append((path, line))
    for found in places.values():
        path, lines = found[0][0], [line for _, line in found]
        if len(lines) > 1:
            listed = f"{', '.join(map(str, lines[:-1]))} and {lines[-1]}"
            where = f"lines {listed}" if len(set(lines)) > 1 else f"line {lines[0]}"
            times = "twice" if len(lines) == 2 else f"{len(lines)} times"
            advice = "write `<<: [*a, *b]`" if path[-1] == "<<" else "keep one"
            yield f"the key {'.'.join(path)!r} is given {times}, in {where}: {advice}"


def _entries(root: Any) -> Iterator[tuple[Key, int, tuple[int, tuple[str, str] | None]]]:
    """Path and line of each entry below a node, its mapping, and what equal keys have in common.

    What is repeated by an alias counts once, where it was first written.
    """
    seen = {id(root)}
    left: list[tuple[Key, Any]] = [((), root)]
    while left:
        path, node = left.pop(0)
        children: list[tuple[str, Any, Any, tuple[str, str] | None]] = []
        if node.id == "mapping":
            for key, value in node.value:
                name = str(key.value) if key.id == "scalar" else "…"
                children.append((name, key, value, _canonical(key)))
        elif node.id == "sequence":
            children = [(str(k), item, item, None) for k, item in enumerate(node.value)]
        for name, written, child, same in children:
            yield (*path, name), written.start_mark.line + 1, (id(node), same)
            if child.id != "scalar" and id(child) not in seen:
                seen.add(id(child))
                left.append(((*path, name), child))


def _canonical(key: Any) -> tuple[str, str] | None:
    """Equal for keys that a dict takes for one, as 1, 0x1 and true; None if it is no scalar."""
    import yaml

    if key.id != "scalar":
        return None
    if key.tag in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
        return "text", str(key.value)
    try:
        value = yaml.SafeLoader("").construct_object(key)
    except (yaml.YAMLError, ValueError):
        return key.tag, str(key.value)
    return "value", str(hash(value))


def _is_content(text: str, file: Path) -> bool:
    """Whether a text is a file, and not a value in it."""
    try:
        return file.read_text() == text
    except (OSError, ValueError):
        return False


def _named(error: Exception, name: str | Path) -> YamlError:
    """An error of this module or of PyYAML in one line, with the name of its file."""
    if isinstance(error, YamlError):
        return type(error)(f"{name}: {error}" if str(name) else str(error))
    mark = getattr(error, "problem_mark", None)
    where = f", line {mark.line + 1}" if mark is not None else ""
    words = getattr(error, "problem", None) or " ".join(str(error).split())
    return YamlError(f"{name}{where}: no YAML: {words}".lstrip(":, "))
