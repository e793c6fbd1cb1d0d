"""What a report warns of."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

from vidiff.evaluation_report import (
    Group,
    MetricInfo,
    NoiseFloor,
    ProtocolInfo,
    Report,
    Score,
    ScoreInfo,
    SkippedFile,
)  # fmt: skip
from vidiff_eval.clips.sample_index import precision_of
from vidiff_eval.judging.cautions import cautions
from vidiff_eval.metrics import FVD, KVD
from vidiff_eval.protocols.presets import get_protocol
from vidiff_eval.protocols.protocol import Protocol

METRIC = MetricInfo("sets", [ScoreInfo("fvd")], higher_is_better=False, depends_on_number=True)


def report(values: dict[str, float], *, floor: float, num_clips: int = 300) -> Report:
    return Report(
        real=Group(num_clips),
        groups={
            name: Group(num_clips, scores={"fvd": [Score("fvd", value)]})
            for name, value in values.items()
        },
        metrics={
            "fvd": replace(METRIC, noise_floor=NoiseFloor(150, floor / 2, floor, 10, True)),
        },
        protocol=ProtocolInfo("vidiff"),
    )


def said(found: Report, protocol: Protocol | None = None) -> list[str]:
    return cautions(found, protocol or Protocol())


def test_nothing_is_said_of_scores_that_tell() -> None:
    assert said(report({"a": 100.0, "b": 200.0}, floor=50)) == []


def test_scores_and_differences_below_the_floor() -> None:
    (alone,) = said(report({"a": 40.0}, floor=50))
    assert alone.startswith("fvd of a (40) is within what real clips have against real ones (50")
    (apart,) = said(report({"a": 100.0, "b": 130.0}, floor=50))
    assert "a and b differ by 30, less than the noise floor (50, of 150 clips" in apart
    assert said(report({"a": math.nan}, floor=50)) == []


def test_few_clips_and_unequal_numbers() -> None:
    (few,) = said(report({"a": 100.0}, floor=50, num_clips=255))
    assert "255 clips are few" in few
    unequal = report({"a": 100.0, "b": 200.0}, floor=50)
    unequal.groups["a"].num_clips = 256
    (numbers,) = said(unequal)
    assert "different numbers of clips" in numbers
    assert FVD.depends_on_number
    assert not KVD.depends_on_number  # which has no bias from few clips
    unequal.metrics["fvd"] = replace(unequal.metrics["fvd"], depends_on_number=False)
    assert said(unequal) == []


def test_fewer_clips_than_the_protocol_takes_and_skipped_files() -> None:
    found = report({"a": 100.0}, floor=50)
    (a, real) = said(found, get_protocol("stylegan_v"))
    assert "a: 300 clips, where protocol stylegan_v takes 2048" in a
    assert real.startswith("real: 300 clips")
    found.groups["a"].skipped = [SkippedFile("b.mp4", "damaged")]
    assert said(found) == ["a: 1 files could not be used (b.mp4)"]


def test_groups_of_different_precision_are_named(tmp_path: Path) -> None:
    for name, trained in {"a": "bf16-mixed", "b": "32-true"}.items():
        (tmp_path / name).mkdir()
        settings = {"trained_in": trained, "precision": "32-true"}
        (tmp_path / name / "0.mp4").touch()
        line = json.dumps({"prompt": "x", "file": "0.mp4", "settings": settings})
        (tmp_path / name / "samples.jsonl").write_text(f"{line}\n{line}\n")
    found = report({"a": 100.0, "b": 200.0}, floor=50)
    found.precision = {name: precision_of(tmp_path / name) for name in ("a", "b", "missing")}
    assert found.precision["missing"] == {}
    (different,) = said(found)
    assert "were trained in different precision (a in bf16-mixed, b in 32-true)" in different
    found.precision["b"]["trained_in"] = "bf16-mixed"
    assert said(found) == []
