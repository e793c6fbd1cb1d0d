"""What is checked of the kind ``check``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from vidiff.doctor import Check


def check(make: Callable[..., Check]) -> None:
    """Assert what the base class promises."""
    found = make().look()
    assert found, "a check prints at least one line"
    json.dumps([asdict(one) for one in found])
