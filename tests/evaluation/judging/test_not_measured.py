"""A report has all that could be measured; the rest is named with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accumulated import Brightness, Distance, Gap, Means
from torch import Tensor

from vidiff.__main__ import main
from vidiff.evaluation_report import Score
from vidiff.registry import get_kind, register
from vidiff.video import write_video

Folder = Callable[..., Path]


class ManyClips(Distance):
    """A distance that needs eight clips of each side."""

    min_clips = 8

    def __init__(self) -> None:
        super().__init__(score="many_clips")

    def distance(self, real: Tensor, generated: Tensor) -> dict[str, float]:
        if min(len(real), len(generated)) < self.min_clips:
            raise ValueError("too few clips")
        return super().distance(real, generated)


class FailsAtTheEnd(Distance):
    """A distance that fails once all features are taken."""

    def __init__(self) -> None:
        super().__init__(score="fails_at_the_end")

    def compare(self, real: Tensor, generated: Tensor) -> list[Score]:
        raise KeyError("gone")


class Refuses(Means):
    """Features that cannot be taken."""

    name = "refuses"

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": self.name}

    def extract(self, clips: Tensor) -> dict[str, Tensor]:
        raise ValueError("these features want other clips")


class FailsAtFeatures(Brightness):
    """A metric whose features cannot be taken."""

    def __init__(self) -> None:
        super().__init__(score="fails_at_features")
        self.features = Refuses()


class Bright(Brightness):
    """How bright clips are."""

    def __init__(self) -> None:
        super().__init__(score="bright")


class NoFives(Brightness):
    """A metric that cannot judge five clips."""

    def __init__(self) -> None:
        super().__init__(score="no_fives")

    def judge(self, found: Any, prompts: Sequence[str]) -> list[Any]:
        if len(prompts) == 5:
            raise ValueError("five clips are too many")
        return super().judge(found, prompts)


class Near(Distance):
    """How far sets are."""

    def __init__(self) -> None:
        super().__init__(score="near")


class FailsAtPairs(Gap):
    """A metric of pairs that fails."""

    scores = ("fails_at_pairs",)

    def __init__(self) -> None:
        super().__init__()

    def judge(self, generated: Tensor, real: Tensor) -> list[dict[str, Any]]:
        raise ValueError("no such pairs")


class WonWithout(Brightness):
    """A metric that must be read with one that needs more clips."""

    beside = ("many_clips",)

    def __init__(self) -> None:
        super().__init__(score="won_without")


METRICS = {
    "won_without": WonWithout,
    "many_clips": ManyClips, "fails_at_the_end": FailsAtTheEnd, "bright": Bright, "near": Near,
    "no_fives": NoFives, "fails_at_features": FailsAtFeatures, "fails_at_pairs": FailsAtPairs,
}  # fmt: skip


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Toy metrics alone, whose features cost nothing."""
    monkeypatch.setenv("VIDIFF_CACHE", str(tmp_path / "cache"))
    from vidiff.plugins import load_all

    load_all()
    known = get_kind("metric").components
    before = dict(known)
    known.clear()
    for name, cls in METRICS.items():
        register(name)(cls)
    yield
    known.clear()
    known.update(before)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(name: str, *lengths: int, seed: int = 0) -> Path:
        generator = torch.Generator().manual_seed(seed)
        path = tmp_path / name
        path.mkdir()
        for index, length in enumerate(lengths):
            pixels = torch.rand(3, length, 16, 16, generator=generator) * 2 - 1
            write_video(path / f"{index:02d}.mp4", pixels, fps=8)
        return path

    return make


def run(output: Path, *words: object) -> tuple[int, dict[str, Any]]:
    code = main(["evaluate", *map(str, words), "--output", str(output), "--device=cpu"])
    path = output / "report.json"
    return code, json.loads(path.read_text()) if path.exists() else {}


def test_by_its_defaults_it_reports_on_twelve_real_clips(
    tmp_path: Path, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    real, made = folder("real", *[4] * 12), folder("made", *[4] * 12, seed=1)
    words = ["--real", real, "--generated", made, "--protocol.num_frames=4"]
    code, report = run(tmp_path / "out", *words)
    assert code == 0
    assert {"bright", "near", "many_clips", "no_fives", "won_without"} == {*report["metrics"]}
    missing = report["not_measured"]
    assert missing["many_clips in the sanity rows"] == (
        "they have 6 clips of each half, and it needs 8: give 16 real clips or more, or raise "
        "--sanity"
    )
    assert "KeyError: 'gone'" in missing["fails_at_the_end"]
    assert "these features want other clips" in missing["fails_at_features"]
    assert "compares pairs" in missing["fails_at_pairs"]
    assert {"bright", "near", "no_fives", "won_without"} == {*report["sanity"]["rows"]["real"]}
    said = capsys.readouterr().out
    assert "not measured: many_clips in the sanity rows (they have 6 clips" in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert "many_clips in the sanity rows" in page


def test_on_six_clips_what_needs_more_is_named_before_the_work(
    tmp_path: Path, folder: Folder
) -> None:
    real, made = folder("real", *[4] * 6), folder("made", *[4] * 6, seed=1)
    words = ["--real", real, "--generated", made, "--protocol.num_frames=4"]
    code, report = run(tmp_path / "out", *words)
    assert code == 0
    assert "needs at least 8 of each side" in report["not_measured"]["many_clips"]
    assert {"bright", "near", "no_fives", "won_without"} == {*report["metrics"]}


def test_numbers_are_checked_before_the_work(
    tmp_path: Path, folder: Folder, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    taken: list[int] = []
    monkeypatch.setattr(Means, "extract", lambda self, clips: taken.append(1))
    real, made = folder("real", *[4] * 6), folder("made", *[4] * 6, seed=1)
    words = ["--real", real, "--generated", made, "--protocol.num_frames=4"]
    code, _ = run(tmp_path / "out", *words, "--metrics=bright,many_clips")
    assert code == 2
    assert "many_clips: the real side is too small" in capsys.readouterr().err
    assert not taken


def test_all_errors_come_at_once(
    tmp_path: Path, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    made = folder("made", 4)
    code, _ = run(
        tmp_path / "out", "--generated", made, tmp_path / "none", "--real", tmp_path / "nowhere",
        "--metrics=brigth,naer", "--protocol.num_frames=4",
    )  # fmt: skip
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    for said in ("none is no folder", "nowhere is no folder", "'bright'", "'near'"):
        assert sum(said in line for line in lines) == 1, (said, lines)
    assert all(line.startswith("vidiff: error: ") for line in lines)


def test_options_folders_sizes_and_numbers_are_all_wrong_at_once(
    tmp_path: Path, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    made, real = folder("made", *[4] * 4), folder("real", *[4] * 4, seed=1)
    write_video(made / "wide.mp4", torch.zeros(3, 4, 16, 32), fps=8)
    code, report = run(
        tmp_path / "out", "--generated", made, tmp_path / "none", "--real", real,
        "--metrics=many_clips,bright", "--protocol.num_frames=4", "--protocol.strid=2",
        "--batch_size=0", "--brigth.gain=2", "--overwite",
    )  # fmt: skip
    assert (code, report) == (2, {})
    lines = capsys.readouterr().err.splitlines()
    for said in (
        "unknown option '--overwite'", "no metric 'brigth' for --brigth.gain", "'stride'",
        "batch_size must be at least 1, got 0", "none is no folder",
    ):  # fmt: skip
        assert sum(said in line for line in lines) == 1, (said, lines)
    code, report = run(
        tmp_path / "out", "--generated", made, "--real", real, "--metrics=many_clips,bright",
        "--protocol.num_frames=4", "--config", tmp_path / "gone.yaml",
    )  # fmt: skip
    assert (code, report) == (2, {})
    lines = capsys.readouterr().err.splitlines()
    for said in (
        "videos differ in size", "many_clips: the real side is too small", "gone.yaml does not",
    ):  # fmt: skip
        assert sum(said in line for line in lines) == 1, (said, lines)


def test_a_metric_that_is_only_read_beside_others_is_named_if_it_fails(
    tmp_path: Path, folder: Folder
) -> None:
    made, real = folder("made", *[4] * 4), folder("real", *[4] * 4, seed=1)
    words = ["--generated", made, "--real", real, "--protocol.num_frames=4"]
    code, report = run(tmp_path / "out", *words, "--metrics=won_without")
    assert code == 0
    assert {*report["metrics"]} == {"won_without"}
    assert "needs at least 8 of each side" in report["not_measured"]["many_clips"]


def test_frame_rates_that_differ_are_the_first_caution(tmp_path: Path, folder: Folder) -> None:
    real, made = folder("real", *[8] * 3), tmp_path / "made"
    made.mkdir()
    for index in range(3):
        write_video(made / f"{index:02d}.mp4", torch.zeros(3, 8, 16, 16), fps=25)
    words = ["--generated", made, "--real", real, "--metrics=bright,near"]
    code, report = run(tmp_path / "out", *words, "--protocol.num_frames=4")
    assert code == 0
    first = report["warnings"][0]
    assert first.startswith("clips differ in frames per second (made 25, real 8)")
    assert "set --protocol.fps 8" in first
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("clips differ in frames per second") < page.index("<h2>")
    code, report = run(tmp_path / "same", *words, "--protocol.num_frames=2", "--protocol.fps=8")
    assert code == 0
    assert not any("frames per second" in warning for warning in report["warnings"])


def test_short_files_are_left_out_and_named(
    tmp_path: Path, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    made = folder("made", 8, 3, 8, 5)
    words = ["--generated", made, "--metrics=bright", "--protocol.num_frames=8"]
    code, report = run(tmp_path / "out", *words)
    assert code == 0
    skipped = {entry["file"]: entry["reason"] for entry in report["groups"]["made"]["skipped"]}
    assert {*skipped} == {"01.mp4", "03.mp4"}
    assert skipped["01.mp4"].startswith("has 3 frames")
    assert "2 files could not be used (01.mp4, 03.mp4)" in capsys.readouterr().out
    code, _ = run(tmp_path / "none", *words[:3], "--protocol.num_frames=9")
    assert code == 2
    said = capsys.readouterr().err
    assert "has 8 frames" in said
    assert "and 3 more files no more" in said
    assert "--protocol.num_frames to 8 or less" in said


def test_a_metric_that_fails_for_one_group_is_named_with_it(tmp_path: Path, folder: Folder) -> None:
    one, other = folder("one", *[4] * 4, seed=1), folder("other", *[4] * 5, seed=2)
    words = ["--generated", one, other, "--protocol.num_frames=4", "--metrics=no_fives,bright"]
    code, report = run(tmp_path / "out", *words)
    assert code == 0
    assert report["not_measured"] == {"no_fives of other": "five clips are too many"}
    assert report["groups"]["other"]["scores"]["no_fives"] == []
    assert report["groups"]["one"]["scores"]["no_fives"][0]["value"] is not None
    assert len(report["groups"]["other"]["scores"]["bright"]) == 1


def test_nothing_at_all_is_an_error_with_its_reason(
    tmp_path: Path, folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    real, made = folder("real", *[4] * 4), folder("made", *[4] * 4, seed=1)
    words = ["--real", real, "--generated", made, "--protocol.num_frames=4"]
    for name, said in {
        "fails_at_the_end": "nothing could be measured: fails_at_the_end: KeyError: 'gone'",
        "fails_at_features": "these features want other clips",
        "fails_at_pairs": "no such pairs",
    }.items():
        assert run(tmp_path / name, *words, f"--metrics={name}") == (2, {})
        assert said in capsys.readouterr().err


def test_pairs_that_fail_cost_nothing_else(tmp_path: Path, folder: Folder) -> None:
    real, made = folder("real", *[4] * 4), folder("made", *[4] * 4, seed=1)
    words = ["--real", real, "--generated", made, "--protocol.num_frames=4"]
    code, report = run(tmp_path / "out", *words, "--metrics=fails_at_pairs,bright")
    assert code == 0
    assert {*report["metrics"]} == {"bright"}
    assert "no such pairs" in report["not_measured"]["fails_at_pairs"]


def test_the_report_is_written_before_the_page(
    tmp_path: Path, folder: Folder, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(*args: object, **kwargs: object) -> str:
        raise OSError("no room")

    monkeypatch.setattr("vidiff_eval.pages.render_evaluation", fail)
    words = ["--generated", folder("made", 4), "--metrics=bright", "--protocol.num_frames=4"]
    code, report = run(tmp_path / "out", *words)
    assert code == 2
    assert report["groups"]["made"]["scores"]["bright"]
    said = capsys.readouterr()
    assert "bright" in said.out
    assert "report.html could not be made (OSError: no room); report.json is whole" in said.err


@pytest.mark.parametrize(("option", "said"), [("batch_size", "1"), ("sanity", "0")])
def test_numbers_of_options_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, said: str
) -> None:
    wrong = int(said) - 1
    assert run(tmp_path / "out", "--generated=none", f"--{option}={wrong}")[0] == 2
    assert f"{option} must be at least {said}, got {wrong}" in capsys.readouterr().err
