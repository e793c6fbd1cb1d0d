"""The program ``vidiff``; ``python -m vidiff`` is the same."""

from __future__ import annotations

import sys

from vidiff.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
