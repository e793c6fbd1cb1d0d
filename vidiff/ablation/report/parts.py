"""Names of formats and columns, checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vidiff.ablation.report import writers  # noqa: F401, registers them, and the columns
from vidiff.plugins import load_plugins
from vidiff.registry import get_component, list_components


def check_parts(
    formats: Sequence[str], columns: Sequence[str], plugins: Callable[[], Sequence[str]]
) -> None:
    """Raise a ``ValueError`` for a name that neither vidiff nor a plugin has registered."""
    named = [*(("report", name) for name in formats), *(("column", name) for name in columns)]
    if any(name not in list_components(kind) for kind, name in named):
        load_plugins(plugins())
    for kind, name in named:
        get_component(kind, name)
