"""The plugin vidiff-ray, loaded by its path: the suite runs without installing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidiff.plugins import load_plugins
from vidiff.registry import get_kind, register

PLUGIN = str(Path(__file__).parents[2] / "plugins" / "vidiff-ray" / "vidiff_ray")

(vidiff_ray,) = load_plugins([PLUGIN])
del get_kind("launcher").components["ray"]  # other tests know no such launcher


@contextmanager
def registered() -> Iterator[None]:
    """Within this, ``ray`` is a launcher."""
    register("ray")(vidiff_ray.Ray)
    yield
    del get_kind("launcher").components["ray"]
