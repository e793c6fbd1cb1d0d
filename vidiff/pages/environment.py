"""What the templates of all pages share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from vidiff.pages import charts


def make_environment(package: str, folder: str) -> Environment:
    """Templates of a folder of a package, and the parts of this one; what they show is escaped."""
    own, shared = PackageLoader(package, folder), PackageLoader("vidiff", "pages")
    environment = Environment(
        loader=ChoiceLoader([own, shared]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(leaves=leaves, number=number)
    environment.globals.update(
        width=charts.WIDTH,
        height=charts.HEIGHT,
        plot={"left": charts.LEFT, "right": charts.WIDTH - charts.RIGHT,
              "top": charts.TOP, "bottom": charts.HEIGHT - charts.BOTTOM},
    )  # fmt: skip
    return environment


def leaves(data: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Nested data as dotted keys with their values."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(data, list):
        yield key, ", ".join(map(str, data))
    else:
        yield key, str(data)


def number(value: float | None) -> str:
    """Four digits that count; a dash for what is not known, and a true minus sign."""
    return "–" if value is None else f"{value:.4g}".replace("-", "−")
