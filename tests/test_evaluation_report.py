"""The schema of an evaluation's report: what is written is read back, and nothing else is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from vidiff.evaluation_report import (
    Curve,
    Group,
    Line,
    Marks,
    MetricInfo,
    NoiseFloor,
    ProtocolInfo,
    Report,
    Sanity,
    Score,
    ScoreInfo,
    SkippedFile,
    Video,
    read_report,
    write_report,
)  # fmt: skip

REPORT = Report(
    groups={
        "mine": Group(
            2,
            "somewhere",
            skipped=[SkippedFile("b.mp4", "damaged")],
            scores={"fvd": [Score("fvd", 1.5, (1.0, 2.0), "jackknife", {"num_real": 3})]},
            videos=[Video("a.mp4", "a.mp4", 0, "a prompt", 7, found={"share": {"ok": True}})],
            compared={"fvd": {"settings": {"a": [1, 2]}}},
            fingerprints={"fvd": "00"},
        )
    },
    metrics={
        "fvd": MetricInfo("sets", [ScoreInfo("fvd", "", (0.0, None))], False,
                          noise_floor=NoiseFloor(2, 1.0, 2.0, 10, True)),
        "share": MetricInfo("clips", [ScoreInfo("ok", "share", (0.0, 1.0))], True,
                            marks=Marks("ok")),
    },
    protocol=ProtocolInfo("whole", "01", {"size": [8, 8]}),
    sanity=Sanity(2, {"real": {"fvd": 1.0}}, {"real": "as they are"}),
    curves=[Curve("a", "x", "y", [Line("mine", [(1, 2.0), (2, 3.5)])])],
)  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_report(tmp_path / "report.json", REPORT)
    assert read_report(tmp_path / "report.json") == REPORT


def test_what_is_no_number_is_null_in_the_file(tmp_path: Path) -> None:
    group = Group(1, scores={"fvd": [Score("fvd", math.inf, (0.0, math.inf), "jackknife")]})
    write_report(tmp_path / "report.json", Report({"a": group}, {}, ProtocolInfo("whole")))
    written = json.loads((tmp_path / "report.json").read_text())["groups"]["a"]["scores"]["fvd"][0]
    assert (written["value"], written["interval"], written["method"]) == (None, None, "")
    score = read_report(tmp_path / "report.json").groups["a"].by_name["fvd"]
    assert not score.is_known


def test_a_score_is_found_by_its_metric() -> None:
    fvd, share = REPORT.metrics.values()
    assert (fvd.is_higher_better("fvd"), fvd.floor_of("fvd"), fvd.has_rows) == (False, 2.0, False)
    assert (share.is_higher_better("other"), share.floor_of("ok"), share.has_rows) == (
        None, None, True,
    )  # fmt: skip
    assert [score.name for _, _, score in REPORT.infos()] == ["fvd", "ok"]
    mark = REPORT.mark(REPORT.groups["mine"].videos[0])
    assert (mark.right, mark.word) == (True, "right")
    assert REPORT.mark(Video("b", "b", 1)).word == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "vidiff evaluation 1"}, r"version 1.*run `vidiff evaluate` again.*stored"),
        ({"format": "vidiff ablation 1"}, "is no evaluation: give a file that `vidiff evaluate`"),
        ({"groups": {"a": {}}}, r"damaged \(groups.a lacks num_clips\): run `vidiff evaluate`"),
        ({"groups": []}, r"damaged \(groups is list\)"),
        ({"metrics": {"a": {"kind": "sets", "scores": [3]}}}, r"metrics.a.scores\[\] is int"),
    ],
)
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "report.json"
    write_report(path, REPORT)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=said) as caught:
        read_report(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_no_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_report(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="is no evaluation"):
        read_report(tmp_path / "list.json")
