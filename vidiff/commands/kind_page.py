"""The page of a kind: what an author of a component has to know, and an example to copy."""

from __future__ import annotations

import sys
import textwrap
from typing import Any

from vidiff.commands.lightning_parts import BASES


def kind_page(shown: dict[str, Any]) -> str:
    """``describe_kind`` as text."""
    lines = [f"kind {shown['kind']}: {shown['class']} ({shown['file']})", ""]
    lines += [textwrap.indent(shown["doc"], "  ")]
    lines += _methods(shown, "To write:")
    for base in shown["bases"]:
        summary = base["doc"].partition("\n")[0]
        lines += _methods(base, f"Or extend {base['class']} ({summary.rstrip('.')}), and write:")
    if shown["optional"]:
        lines += ["", _filled(f"Can be overridden: {', '.join(shown['optional'])}")]
    if shown["given"]:
        lines += ["", "Given to a constructor that names them:"]
        lines += [_filled(f"  {a['name']}: {a['type']}, {a['doc']}") for a in shown["given"]]
    width = max((len(c["name"]) for c in shown["components"]), default=0)
    lines += ["", "Contains:"]
    lines += [_filled(f"  {c['name']:<{width}}  {c['summary']}") for c in shown["components"]]
    if example := shown["example"]:
        lines += ["", f"Example: {example['name']}, {example['lines']} lines, {example['file']}"]
        lines += ["", textwrap.indent(example["code"].rstrip(), "    ")]
    return "\n".join([*lines, *_how_to_register(shown["kind"], shown["class"])])


def _methods(shown: dict[str, Any], heading: str) -> list[str]:
    lines = ["", _filled(heading)] if shown["methods"] else []
    for method in shown["methods"]:
        lines += [f"  {method['name']}{method['signature']}"]
        lines += [textwrap.indent(method["doc"], "      ")]
    return lines


def _how_to_register(kind: str, class_path: str) -> list[str]:
    module, _, base = class_path.rpartition(".")
    package = module.rpartition(".")[0]
    if hasattr(sys.modules.get(package), base):
        module = package
    file, imported = f"my_{kind}.py", f"    from {module} import {base}"
    heading = ["", f"Write one in a file of its own, {file}:", ""]
    if kind in BASES:
        option = f"--trainer.{kind}s+=" if kind == "callback" else f"--trainer.{kind}="
        use = f"Use it: vidiff fit -c CONFIG --plugins {file} {option}my_{kind}.My{base}"
        return [*heading, imported, "", f"    class My{base}({base}):", "", use]
    return [
        *heading, imported, "    from vidiff.registry import register", "",
        f'    @register("my_{kind}")', f"    class My{base}({base}):", "",
        f"Check it: vidiff check {file}",
    ]  # fmt: skip


def _filled(text: str) -> str:
    return textwrap.fill(text, 100, subsequent_indent="      ", break_on_hyphens=False)
