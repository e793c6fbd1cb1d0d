"""Fixtures that several areas use."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from video_files import write_test_video

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts in the background so; tests of Ctrl-C would never hear it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def make_video() -> Callable[..., Path]:
    return write_test_video


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program of a browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


@pytest.fixture
def shared_videos() -> Path:
    """Real video files, if they are at hand."""
    folder = Path(__file__).parents[2] / "shared" / "videos"
    if not (folder / "clips").is_dir():
        pytest.skip(f"no real video files in {folder}")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests of a file that skip for the same reason are one line of the summary."""
    report = yield
    # The names of files may be any bytes; what a test printed of them travels between processes.
    report.sections = [(name, printable(text)) for name, text in report.sections]
    if report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (report.longrepr[0], None, report.longrepr[2])  # type: ignore[assignment]
    return report


def printable(text: str) -> str:
    """``text`` with its lone surrogates written out."""
    return text.encode("utf-8", "backslashreplace").decode()
