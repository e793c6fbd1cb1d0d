"""What is checked of the kind ``launcher``."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from vidiff.ablation.launchers import Handle, Job, Launcher

LAUNCH_SECONDS = 300.0
"""That a launcher under test may take for a small job."""


def check(make: Callable[[], Launcher]) -> None:
    """Assert what the base class promises."""
    launcher = make()
    assert launcher.num_at_once >= 1, "a launcher must run one job at least"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()

        def start(name: str, code: str) -> Handle:
            words = (sys.executable, "-c", code)
            return launcher.start(
                Job(name, words, place / name, place, {"VIDIFF_TEST_WORD": "given"})
            )

        def wait(handle: Handle, *states: str) -> None:
            end = time.monotonic() + LAUNCH_SECONDS
            while (state := handle.state()) not in states:
                assert state in ("waiting", "running"), f"the job is {state}, not {states[0]}"
                assert time.monotonic() < end, f"the job is {state} after {LAUNCH_SECONDS} s"
                time.sleep(0.05)

        try:
            say = "import os; open('said', 'w').write(os.environ['VIDIFF_TEST_WORD'])"
            handle = start("well", say)
            wait(handle, "succeeded")
            assert (place / "said").read_text() == "given", "a job runs in its cwd, with its env"
            handle.stop()
            assert handle.state() == "succeeded", "stopping what has ended does nothing"
            wait(start("ill", "raise SystemExit(3)"), "failed")
            handle = start("endless", "import time; print('on', flush=True); time.sleep(600)")
            wait(handle, "running")
            handle.stop()
            wait(handle, "failed")
        finally:
            launcher.close()
