"""Fixtures that several areas use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from video_files import write_test_video


@pytest.fixture
def make_video() -> Callable[..., Path]:
    return write_test_video


@pytest.fixture
def shared_videos() -> Path:
    """Real video files, if they are at hand."""
    folder = Path(__file__).parents[2] / "shared" / "videos"
    if not (folder / "clips").is_dir():
        pytest.skip(f"no real video files in {folder}")
    return folder
