"""Imports go one way: down a table of modules, and never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]

ROWS = (
    "registry faults errors version checks seeds cores formatting finite layers types",
    "files weight_files weight_search provenance yaml_files plugins config_nodes background",
    "fingerprints external precision hugging_face",
    "folders captions checkpoints schema evaluation_report",
    "video pages data rewriters",
    "positions attention patchifiers autoencoders conditions conditioning denoisers",
    "diffusion samplers model guidance generation",
    "perceptual discriminators reconstruction regularisers optimizers doctor",
    "training costs importers",
    "commands.base cli ablation testing commands",  # ablations parse as the program does
    "__main__ __init__",
)
ORDER = [name for row in ROWS for name in row.split()]
"""Modules and packages of vidiff, each of which imports only from those before it and itself."""

PARSED = "an option that names a dataset is parsed, and refused, as a model command does it"

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("vidiff_eval.commands.options", "vidiff.cli.names"): PARSED,
    ("vidiff_eval.commands.options", "vidiff.cli.errors"): PARSED,
}
"""Imports that are allowed all the same, with the reason."""


def read(package: Path) -> dict[str, Path]:
    """The files of a package by the names of their modules."""
    files = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Modules that a file imports, also inside of functions; not for the checker of types alone."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if node in skipped:
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {inner for statement in node.body for inner in ast.walk(statement)}
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}: relative imports are not followed"
            whole = {f"{node.module}.{alias.name}": alias.name for alias in node.names}
            yield from (name for name in whole if name in modules)
            if any(name not in modules for name in whole):
                yield node.module


EVALUATION = ROOT / "evaluation" / "vidiff_eval"


def graph(package: Path = ROOT / "vidiff") -> dict[str, set[str]]:
    """By module of a package: those of the same package that it imports."""
    modules = read(package)
    return {
        name: {found for found in imported(path, modules) if found in modules} - {name}
        for name, path in modules.items()
    }


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Modules of a circle, if there is one, from one of them back to itself."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def place(module: str) -> int:
    """Where a module stands in ``ORDER``: by the longest entry that it is, or is in."""
    inner = module.removeprefix("vidiff").removeprefix(".") or "__init__"
    entries = [entry for entry in ORDER if f"{inner}.".startswith(f"{entry}.")]
    assert entries, f"{module} has no place in ORDER"
    return ORDER.index(max(entries, key=len))


def test_circles_are_found() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "e"}, "e": set()}
    assert set(circle(edges)) == {"b", "c"}
    assert set(circle({"a": {"b"}, "b": {"a", "c"}, "c": {"a"}})) <= {"a", "b", "c"}
    assert circle(edges | {"c": set()}) == []


def test_files_import_each_other_in_no_circle() -> None:
    edges = graph()
    assert "vidiff.training.task" in edges["vidiff.training.diffusion.task"]
    assert "vidiff.cli.model" in edges["vidiff.cli.main"], "inside of a function"
    assert not circle(edges)
    edges = graph(EVALUATION)
    assert "vidiff_eval.judging.curves" in edges["vidiff_eval.metrics.base"], "inside of a function"
    assert not circle(edges)


def test_reports_of_evaluations_are_read_by_attributes() -> None:
    names = {"report", "group", "groups", "side", "video", "score", "metric", "sanity", "curve"}
    for path in read(EVALUATION).values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                is_report = isinstance(node.value, ast.Name) and node.value.id in names
                by_word = isinstance(node.slice.value, str)
                assert not (is_report and by_word), f"{path}:{node.lineno}"


def test_modules_import_only_from_what_stands_before_them() -> None:
    up = {(a, b) for a, imports in graph().items() for b in imports if place(b) > place(a)}
    assert up <= set(EXCEPTIONS)


def test_vidiff_never_imports_the_evaluation_package() -> None:
    evaluation = read(EVALUATION)
    for path in read(ROOT / "vidiff").values():
        names = {name.partition(".")[0] for name in imported(path, evaluation)}
        assert "vidiff_eval" not in names, path


def test_the_evaluation_package_imports_neither_training_nor_the_program() -> None:
    modules = read(ROOT / "vidiff")
    found = {
        (name, module)
        for name, path in read(EVALUATION).items()
        for module in imported(path, modules)
        if module.startswith(("vidiff.training", "vidiff.cli"))
    }
    assert found <= set(EXCEPTIONS)
