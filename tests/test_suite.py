"""What the tests themselves keep to."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
WAITING = {"processes.py", "slurm_cluster.py"}
CLOCK = re.compile(
    r"\btime\.(time|monotonic|perf_counter|process_time|thread_time)(_ns)?\b"
    r"|\bfrom time import|\bimport time as|\btimeit\b|\bdatetime\.now|os\.times"
    r"|getrusage\(.*\)\.ru_.time"
)
JOB = '"time": time.time()'
"""What a job of Ray notes down, to be put in order."""


def test_no_test_reads_a_clock() -> None:
    """A bar on seconds fails on a slower or busier machine: count calls, or move a clock."""
    paths = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/**/*.py")]
    others = [path for path in paths if path.name not in WAITING and path != Path(__file__)]
    assert len(others) > 50
    reading = [f"{path.name}: {line}" for path in others for line in path.read_text().splitlines()
               if CLOCK.search(line) and JOB not in line]  # fmt: skip
    assert not reading
