"""Launchers keep their promises for a call that a shell started in the background."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from ray_plugin import registered

from vidiff.testing import check_component


@pytest.fixture
def background() -> Iterator[None]:
    """As after ``vidiff ablate FILE &`` in a script: SIGINT is ignored, by all children too."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN, "it is left as it was"
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("local", {}), ("slurm", {"cluster": "local"}), ("ray", {"address": "local"})],
)
def test_jobs_can_be_stopped(background: None, name: str, settings: dict[str, Any]) -> None:
    with registered():
        check_component("launcher", name, **settings)
