"""Cores of a process: affinity and control groups."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from vidiff import cores
from vidiff.cores import cpu_quota


def files(root: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_quotas_of_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "none") == math.inf
    group = "sys/fs/cgroup"
    two = {
        "proc/self/cgroup": "0::/pods/mine", f"{group}/cpu.max": "max 100000",
        f"{group}/pods/cpu.max": "400000 100000", f"{group}/pods/mine/cpu.max": "max 100000",
    }  # fmt: skip
    assert cpu_quota(files(tmp_path / "two", two)) == 4  # of the group that encloses it
    inside = {"proc/self/cgroup": "0::/docker/12ab", f"{group}/cpu.max": "150000 100000"}
    assert cpu_quota(files(tmp_path / "inside", inside)) == 1.5
    one = {
        "proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n0::/",
        f"{group}/cpu/cpu.cfs_quota_us": "-1", f"{group}/cpu/cpu.cfs_period_us": "100000",
        f"{group}/cpu/a/cpu.cfs_quota_us": "250000", f"{group}/cpu/a/cpu.cfs_period_us": "100000",
    }  # fmt: skip
    assert cpu_quota(files(tmp_path / "one", one)) == 2.5


def test_available_cores_are_those_of_affinity_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    for quota, expected in ((math.inf, 6), (2.5, 2), (0.5, 1), (12.0, 6)):
        monkeypatch.setattr(cores, "cpu_quota", lambda quota=quota: quota)
        assert cores.available_cores() == expected
