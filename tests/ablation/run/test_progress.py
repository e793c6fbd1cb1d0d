"""What is seen of an ablation while it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from toy_runs import COUNT, toy_folder, toy_run

from vidiff.ablation.run.progress import Place, Progress, place_of
from vidiff.formatting import duration


def test_a_run_says_how_far_it_is_and_how_long_it_will_take(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path, toy_run(0), COUNT)
    assert place_of(folder) == Place("phase0")
    folder.train.mkdir()
    record = {"step": 50, "num_steps": 200, "training_seconds": 10.0, "seconds_per_step": None}
    (folder.train / "run.json").write_text(json.dumps(record))
    assert place_of(folder) == Place("phase0", 50, 200, 0.2)
    assert str(Place("fit", 50, 200, 0.2)) == "step 50 of 200, 30 s left"


def test_words_of_the_phases() -> None:
    assert str(Place("fit")) == "starting"
    assert str(Place("sample", 800, 800, 0.1)) == "making videos"
    assert str(Place("evaluate", 800, 800, 0.1)) == "measuring"


def test_lines_of_runs_and_the_time_that_is_left_for_all() -> None:
    seen: list[str] = []
    progress = Progress(5, 1, 2, write=seen.append)
    for number in (0, 1):
        progress.update(toy_run(number), Place("fit"))
    progress.update(toy_run(0), Place("fit", 1, 9, 1.0))
    assert len(seen) == 2, "lines that cannot be written over come now and then"
    assert seen[0].startswith("[2/5] 0, seed 0  000000000000  starting")
    progress.end(toy_run(0), "done", 60.0)
    assert seen[-1].endswith("done after 1 min 00 s; 1 min 30 s left for all\n")
    progress.end(toy_run(1), "failed: x")
    assert seen[-1].startswith("[3/5] 1, seed 0")


def test_a_terminal_has_a_line_for_each_run_that_is_written_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress(2, 0, 2)
    for step in (1, 2):
        for number in (0, 1):
            progress.update(toy_run(number), Place("fit", step, 9, 1.0))
    progress.end(toy_run(0), "done", 5.0)
    out = capsys.readouterr().err
    assert out.count("\x1b[2A\x1b[J") >= 2
    assert out.splitlines()[-1].startswith("[2/2] 1, seed 0")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"), (59.4, "59 s"), (185, "3 min 05 s"), (3599.7, "1 h 00 min"),
        (7800, "2 h 10 min"), (200_000, "2 days 7 h"),
    ],
)  # fmt: skip
def test_durations_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words
