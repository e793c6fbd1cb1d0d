"""vidiff: change one line of YAML, and learn whether it helped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidiff.version import __version__

if TYPE_CHECKING:
    from vidiff.training.loading import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:  # PEP 562: `import vidiff` stays light
    if name == "load":
        from vidiff.training.loading import load

        return load
    raise AttributeError(f"module 'vidiff' has no attribute {name!r}")
