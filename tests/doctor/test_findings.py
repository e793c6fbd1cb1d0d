"""Lines of packages, codecs, weights, plugins and space, from facts that are made up."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from vidiff.doctor import codecs, find_weights, space
from vidiff.doctor import packages as judging
from vidiff.doctor.base import Finding
from vidiff.plugins import FailedPlugin

ROOT = Path(__file__).parents[2]
TESTED = {"torch": "2.15.0", "lightning": "2.6.6", "av": "18.1.0", "idna": "3.20"}
NEEDED = ["av", "lightning", "torch"]


def packages(**changes: str) -> list[Finding]:
    there = {name: version for name, version in {**TESTED, **changes}.items() if version}
    return judging.judge_versions(NEEDED, TESTED, there)


def test_the_tested_versions_are_as_tested_in_every_build() -> None:
    lines = packages(torch="2.15.0+cpu")
    assert [line.state for line in lines] == ["ok", "ok"]
    assert lines[0].facts["torch"] == {"installed": "2.15.0+cpu", "tested": "2.15.0"}


@pytest.mark.parametrize(
    ("changes", "state", "found", "step"),
    [
        ({"torch": "2.11.0"}, "optional", "torch 2.11.0 (tested: 2.15.0)", "constraints.txt torch"),
        ({"av": ""}, "wrong", "missing: av", "constraints.txt av"),
        ({"lightning": "2.6.3"}, "wrong", "lightning 2.6.3 is malware", "change all credentials"),
    ],
)
def test_other_packages_have_a_next_step(
    changes: dict[str, str], state: str, found: str, step: str
) -> None:
    line, others = packages(**changes)
    assert (line.state, line.found) == (state, found)
    assert step in line.next_step
    assert others.state == "ok"


def test_packages_that_others_bring_are_a_line_of_their_own() -> None:
    line, others = packages(idna="3.1")
    assert line.state == "ok"
    assert "idna 3.1 (3.20)" in others.found
    assert others.next_step.endswith("constraints.txt idna")


def test_the_tested_set_is_read_from_the_package() -> None:
    tested = judging.tested_versions()
    assert judging.TESTED.parent.name == "vidiff"
    assert tested["torch"]
    assert tested["open-clip-torch"]  # it is open_clip_torch there
    assert set(judging.required()) <= set(tested)


def test_every_extra_of_the_package_has_a_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(judging.BRINGS) == set(project["optional-dependencies"]) - {"dev", "docs"}
    line = judging.judge_extra("clip", {"transformers": "5.0", "open-clip-torch": None})
    assert line.found == "not here: open-clip-torch"
    assert line.next_step.startswith("pip install 'vidiff[clip]' brings clip_score")
    assert judging.judge_extra("clip", {"transformers": "5.0"}).state == "ok"


@pytest.mark.parametrize(
    ("lacking", "name", "state"),
    [
        (("h264", "r"), "H.264", "wrong"), (("libx264", "w"), "H.264", "wrong"),
        (("libvpx-vp9", "w"), "VP9", "wrong"), (("vp9", "r"), "VP9", "ok"),
        (("hevc", "r"), "HEVC", "optional"), (("libx265", "w"), "HEVC", "ok"),
        (("libdav1d", "r"), "AV1", "ok"), (("nothing", "r"), "AV1", "ok"),
    ],
)  # fmt: skip
def test_a_codec_is_needed_where_vidiff_writes_it(
    lacking: tuple[str, str], name: str, state: str
) -> None:
    lines = {line.name: line for line in codecs.judge(lambda *one: one != lacking)}
    assert lines[name].state == state
    assert ("--force-reinstall" in lines[name].next_step) == (state != "ok")
    assert {line.state for line in lines.values()} <= {"ok", state}


def test_ffmpegs_own_decoder_of_av1_is_none() -> None:
    """It is there without a GPU too, and decodes nothing."""
    lines = {line.name: line for line in codecs.judge(lambda name, mode: name == "av1")}
    assert lines["AV1"].facts["decode"] is None
    assert lines["AV1"].found == "unknown"


def test_weights_say_where_they_are_or_were_looked_for(tmp_path: Path) -> None:
    def fail() -> Path:
        raise ValueError("looked for x.pth in /there. Set weights")

    line = find_weights("Net", "fvd", fail)
    assert (line.state, line.found) == ("optional", "not here; for fvd")
    assert line.next_step == "looked for x.pth in /there. Set weights"
    line = find_weights("Net", "fvd", lambda: tmp_path)
    assert (line.state, line.facts["path"]) == ("ok", str(tmp_path))


def test_a_plugin_that_was_left_out_is_named_with_its_reason() -> None:
    failure = FailedPlugin("mine", "my-blocks 1.0", "ImportError: no x (a.py, line 3)")
    bad, good = judging.judge_plugins(
        {"mine": "my-blocks 1.0", "vidiff_eval": "vidiff 0.1"}, [failure]
    )
    assert good.state == "ok"
    assert (bad.state, bad.found) == ("wrong", "left out: ImportError: no x (a.py, line 3)")
    assert "pip uninstall my-blocks" in bad.next_step
    assert judging.judge_plugins({}, [])[0].state == "wrong"


def test_folders_and_memory() -> None:
    place = space.Place("here", Path("/runs"), 5 * space.GIB, "set --x to a larger disk")
    assert space.folder(place, 6 * space.GIB, True).state == "ok"
    low = space.folder(place, 2 * space.GIB, True)
    assert (low.state, low.found) == ("optional", "2.0 GiB free in /runs")
    assert low.next_step == "free some, or set --x to a larger disk"
    assert space.folder(place, 9 * space.GIB, False).state == "wrong"
    assert "--shm-size" in space.workers_memory(64 * 2**20).next_step
    assert "data.batch_size" in space.memory(2 * space.GIB).next_step
    assert space.memory(None).state == "ok"


def test_memory_is_what_the_container_leaves(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    8388608 kB\n")
    assert space.available_memory(tmp_path, tmp_path) == 8 * space.GIB
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text(f"{space.GIB}\n")
    assert space.available_memory(tmp_path, tmp_path) == 8 * space.GIB
    (tmp_path / "memory.max").write_text(f"{3 * space.GIB}\n")
    assert space.available_memory(tmp_path, tmp_path) == 2 * space.GIB
    assert space.available_memory(tmp_path / "none", tmp_path / "none") is None
