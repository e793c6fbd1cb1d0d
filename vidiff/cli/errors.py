"""What jsonargparse refuses, said in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vidiff.registry import nearest

MOVED = {
    "text_encoder": "conditions.text, as in conditions: {text: words}",
    "caption_dropout": "condition_dropout, a number, or one by the condition's name",
    "project_text": "project",
    "sampler.shift": "sampler.spacing, as in {class_path: even, init_args: {shift: 3.0}}",
    "sampler.rho": "sampler.spacing, as in {class_path: karras, init_args: {rho: 7.0}}",
    "sampler.sigma_range": "sampler.spacing, of the class karras",
    "sampler.last_step": "sampler.spacing, of the class sit",
}
"""Keys of earlier configs, and where what they said stands now."""


@dataclass(frozen=True)
class Refusal:
    """What a nested parser of jsonargparse said, and the dotted options that it knows."""

    message: str
    options: tuple[str, ...]


def explain(report: str, refusals: Iterable[Refusal] = ()) -> str:
    """Turn jsonargparse's report into one line: dotted key, what is wrong, nearest and known ones.

    A mistake deep inside nested parts comes wrapped once per level, each level indented under a
    ``Parser key "…":``, next to what every other reading of the value would have expected. The
    first statement that names an option, a component or a module is what the user did.
    """
    statements = list(_statements(report))
    for path, words in statements:
        if option := unknown_option(words):
            if option == "class_path":
                key = ".".join(path)
                return f"{key}: beside class_path only init_args may stand, with all settings"
            known = [r.options for r in refusals if unknown_option(r.message) == option]
            return unknown(".".join([*path, option]), option, known[0] if known else None)
    for path, words in statements:
        if said := _telling(".".join(path), words):
            return said
    return _wrong_value(statements) or " ".join(report.split())


def unknown(key: str, option: str, options: Sequence[str] | None) -> str:
    """``unknown option 'model.depht', did you mean 'depth'?; known: …``.

    ``option`` is the end of ``key`` that was refused by a parser with ``options``, None if unknown.
    """
    for name, place in MOVED.items():
        if f".{name}." in f".{key}.":
            return f"option {key!r}: {name} moved to {place}"
    if options is None:
        return f"unknown option {key!r}"
    parent, _, last = option.rpartition(".")
    while parent and not any(name.startswith(f"{parent}.") for name in options):
        parent, _, last = parent.rpartition(".")
    prefix = f"{parent}." if parent else ""
    inside = (name.removeprefix(prefix) for name in options if name.startswith(prefix))
    known = sorted({name.partition(".")[0] for name in inside})
    listed = f"known: {', '.join(known)}" if known else "it takes no options"
    return f"unknown option {key!r}{nearest(last, known)}; {listed}"


def unknown_option(message: str) -> str | None:
    """The option that a message of jsonargparse or argparse refuses."""
    for pattern in (
        r"Group '(?P<group>\S+)' does not accept option '(?P<option>[^']+)'",
        r"Subcommand '\S+' does not accept option '(?P<option>[^']+)'",
        r"Option '(?P<option>[^']+)' is not accepted",
        r"unrecognized arguments: --(?P<option>[^\s=]+)",
    ):
        if found := re.search(pattern, message):
            group = found.groupdict().get("group")
            return f"{group}.{found['option']}" if group else found["option"]
    return None


def _statements(report: str) -> Iterator[tuple[list[str], str]]:
    """Each line of a report without its wrapping, and the keys that enclose it."""
    enclosing: list[tuple[int, str]] = []
    for line in filter(str.strip, report.splitlines()):
        indent = len(line) - len(line.lstrip(" -"))
        enclosing = [(depth, key) for depth, key in enclosing if depth < indent]
        keys = re.findall(r'Parser key "([^"]+)"', line)
        enclosing += [(indent, key) for key in keys]
        words = re.split(r'Parser key "[^"]+"(?: element \d+)?:', line)[-1].strip(" -")
        words = re.sub(r"Type <.*?> expects a function or a callable class: ", "", words)
        if words:
            yield [key for _, key in enclosing], words


def _telling(key: str, words: str) -> str | None:
    """What one statement says by itself, if it does."""
    words = words.partition(". Got value")[0]
    if found := re.search(r"following arguments are required: (.*)", words):
        missing = [f"{key}.{name.strip()}".strip(".") for name in found[1].split(",")]
        return f"missing: {', '.join(missing)}; give it in a config (-c) or as an option"
    if found := re.search(r"unknown [\w ]+ '.*", words):
        return f"{key}: {found[0]}"
    if re.search(r"No module named|has no attribute", words):
        return (
            f"{key}: {words}; a class of a plugin is only found once the plugin is loaded: name "
            "its file or module with --plugins or under the key plugins:"
        )
    if re.search(r"to be a subclass of|does not correspond to a subclass", words):
        return f"{key}: {_plain_type(words)}"
    if found := re.search(r"but (\S+) is abstract", words):
        return (
            f"{key}: name a class by class_path and its settings by init_args; {found[1]} only "
            "says what all of them have in common"
        )
    return None


_SCAFFOLD = re.compile(
    r"Subtypes|Errors|Given value type|Does not validate|Subclass types|Problem with|a class path"
    r"|a dict |Not a valid subclass|Expected a path but|Expected a dot import path|Unable to load"
)


def _wrong_value(statements: Sequence[tuple[list[str], str]]) -> str | None:
    """``key: expected this or that, got value``, from the deepest key that is given."""
    deepest = max((path for path, _ in statements), key=len, default=[])
    expected: dict[str, None] = {}
    other: dict[str, None] = {}
    value = around = ""
    for words in (words for path, words in statements if path == deepest):
        words, _, got = words.partition(". Got value: ")
        around = around or got.partition(". Got value: ")[0]
        if found := re.match(r"Given value: (.*)", words):
            value = value or found[1]
        elif _SCAFFOLD.match(words):
            continue
        elif found := re.match(r"Expected an? (.*)", words):
            expected[_plain_type(found[1])] = None
        else:
            other[words] = None
    if not deepest:
        return None
    value = value or around
    said = "; ".join(other) or f"expected {' or '.join(expected)}"
    return f"{'.'.join(deepest)}: {said}" + (f", got {value}" if value and not other else "")


def _plain_type(words: str) -> str:
    """A type as jsonargparse writes it, in words: ``typing.Literal['a', 'b']`` is ``a or b``."""
    if found := re.fullmatch(r"(?:typing\.)?Literal\[(.*)\]", words.strip()):
        *others, last = (value.strip().strip("'\"") for value in found[1].split(","))
        return f"{', '.join(others)} or {last}" if others else last
    if found := re.fullmatch(r"(?:typing\.)?Optional\[(.*)\]", words.strip()):
        return f"{_plain_type(found[1])} or null"
    plain = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", words).replace("NoneType", "null")
    return re.sub(r"\b(?:typing|collections\.abc)\.", "", plain)
