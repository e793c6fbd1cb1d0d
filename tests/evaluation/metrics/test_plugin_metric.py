"""A metric of a plugin file is treated like ours: measured, drawn, compared, and read by others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vidiff.__main__ import main
from vidiff.evaluation_report import read_report
from vidiff.registry import get_kind
from vidiff.video import write_video

PLUGIN = """
from vidiff.evaluation_report import Marks
from vidiff.registry import register
from vidiff_eval.features import Features
from vidiff_eval.metrics import ClipMetric


class Grey(Features):
    name = "grey"
    settings = {"name": "grey"}

    def extract(self, clips):
        return {"features": clips.double().mean((1, 2, 3, 4))[:, None].cpu()}


@register("bright_share")
class BrightShare(ClipMetric):
    \"\"\"Share of clips that are brighter than grey.\"\"\"

    scores = ("bright_share", "level")
    units = ("share", "nits")
    limits = ((0.0, 1.0), (-1.0, 1.0))
    higher_is_better = True
    marks = Marks("is_bright", "shows", "level", label="Level of grey")

    def __init__(self):
        self.features = Grey()

    @property
    def settings(self):
        return {"features": self.features.settings}

    def judge(self, found, prompts):
        levels = found["features"][:, 0].tolist()
        return [
            {"bright_share": x > 0, "level": x, "is_bright": x > 0, "shows": "night"}
            for x in levels
        ]
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("VIDIFF_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "bright_plugin.py"
    path.write_text(PLUGIN)
    yield path
    for kind in ("metric", "features"):
        get_kind(kind).components.pop("bright_share", None)


def write_clips(folder: Path, *levels: float) -> Path:
    folder.mkdir()
    for index, level in enumerate(levels):
        write_video(folder / f"{index}.mp4", torch.full((3, 4, 16, 16), level), fps=8)
    lines = [json.dumps({"prompt": "", "file": f"{index}.mp4"}) for index in range(len(levels))]
    (folder / "samples.jsonl").write_text("\n".join(lines))
    return folder


def test_from_evaluate_to_compare(
    tmp_path: Path, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write_clips(tmp_path / "made", 0.5, -0.5, *[0.7] * 6)
    dark = write_clips(tmp_path / "dark", *[-0.6] * 8)
    real = write_clips(tmp_path / "real", 0.1, 0.2, 0.3, 0.4)
    words = ["--plugins", str(plugin), "evaluate", "--generated", str(made), str(dark), "--real",
             str(real), "--metrics=bright_share", "--protocol=whole", "--device=cpu",
             "--output", str(tmp_path / "out")]  # fmt: skip
    assert main(words) == 0
    path = tmp_path / "out" / "report.json"
    report = read_report(path)
    info = report.metrics["bright_share"]
    assert (info.kind, info.main.unit, info.main.limits) == ("clips", "share", (0.0, 1.0))
    assert report.groups["made"].by_name["bright_share"].value == 0.875
    assert report.real is not None
    assert report.real.by_name["bright_share"].value == 1.0
    assert report.sanity is not None
    assert {*report.sanity.rows["real"]} == {"bright_share", "level"}
    marks = [report.mark(video) for video in report.groups["made"].videos]
    assert [mark.word for mark in marks] == ["right", "wrong", *["right"] * 6]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "looks like: night" in page
    assert "made is best" in page

    words = ["report", "--evaluation", str(path), f"--samples=made={made}"]
    assert main([*words, "--output", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page" / "index.html").read_text()
    for said in ("Bright share, dark", "Level of grey", "looks like: night", "<small> nits"):
        assert said in page

    output = tmp_path / "comparison.json"
    words = ["compare", str(path), str(path), "--group=made=dark", "--output", str(output)]
    assert main(words) == 0
    assert "bright_share ↑" in capsys.readouterr().out
    (comparison,) = json.loads(output.read_text())["comparisons"]
    (share, _) = comparison["scores"]
    assert (share["verdict"], share["difference"]) == ("worse", -0.875)
