from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from curves import write_curves

from vidiff.__main__ import main
from vidiff.data.shapes import COMBINATIONS, Scenes, render
from vidiff.evaluation_report import Group, ProtocolInfo, Report, Score, Video, write_report
from vidiff.files import sha256
from vidiff_eval.clips.sample_index import read_samples
from vidiff_eval.metrics import PromptAccuracy

SIZE = (9, 32, 32)
MakeScenes = Callable[..., Scenes]
MakeSamples = Callable[..., Path]


@pytest.fixture
def evaluation(tmp_path: Path, groups: dict[str, Path]) -> Path:
    """A report as `vidiff evaluate` writes it, of prompt_accuracy alone."""
    judged = {}
    for name, folder in groups.items():
        videos = []
        for sample in read_samples(folder):
            right = name == "seen" or sample.index != 1
            found = sample.prompt if right else COMBINATIONS[61].caption
            row = {"prompt_accuracy": float(right), "right": right, "found": found, "psnr_db": 30.0}
            row["oracle_psnr_db"] = 30.0
            videos.append(
                Video(
                    sample.file, sample.file, sample.index, sample.prompt, 7, sha256(sample.path),
                    found={"prompt_accuracy": row},
                )
            )  # fmt: skip
        share = sum(v.found["prompt_accuracy"]["right"] for v in videos) / len(videos)
        score = Score("prompt_accuracy", share, (0.2, 1.0))
        judged[name] = Group(len(videos), scores={"prompt_accuracy": [score]}, videos=videos)
    metrics = {"prompt_accuracy": PromptAccuracy().describe()}
    path = tmp_path / "evaluation" / "report.json"
    write_report(path, Report(judged, metrics, ProtocolInfo("whole")))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "diffusion"
    write_curves(folder / "logs")
    (folder / "config.yaml").write_text("model: dit # </pre><script>bad()</script>\n")
    record = {"training_seconds": 12.5, "parameters": {"trained": 1500000, "total": 2000000}}
    (folder / "run.json").write_text(json.dumps({**record, "versions": {"torch": "2.15"}}))
    return folder


def failure(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) != 0
    return capsys.readouterr().err


def report(output: Path, *arguments: str | Path) -> str:
    assert main(["report", *map(str, arguments), "--output", str(output)]) == 0
    return (output / "index.html").read_text(encoding="utf-8")


def whole_report(output: Path, evaluation: Path, groups: dict[str, Path], run: Path) -> str:
    samples = [f"--samples={name}={folder}" for name, folder in groups.items()]
    return report(output, "--run", run, "--evaluation", evaluation, *samples)


def test_report_scores(
    tmp_path: Path, evaluation: Path, groups: dict[str, Path], run: Path
) -> None:
    whole_report(tmp_path / "out", evaluation, groups, run)
    scores = json.loads((tmp_path / "out" / "report.json").read_text())
    shares = {name: some["prompt_accuracy"]["value"] for name, some in scores["scores"].items()}
    assert shares == {"seen": 1.0, "unseen": pytest.approx(2 / 3)}
    assert scores["training_seconds"] == 12.5
    assert scores["parameters"] == 1500000
    assert scores["config"] == {"diffusion": {"model": "dit"}}


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [
            v or "" for k, v in attrs if k in ("src", "href", "srcset", "poster", "action")
        ]


def test_page_is_self_contained_and_escapes(
    tmp_path: Path, evaluation: Path, groups: dict[str, Path], run: Path
) -> None:
    page = whole_report(tmp_path / "out", evaluation, groups, run)
    assert "PSNR to the nearest true video" in page
    assert "30<small> dB" in page
    links = _Links()
    links.feed(page)
    assert len(links.found) == 7
    assert all(link.startswith("data:video/mp4;base64,") for link in links.found)
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert "url(" not in page
    assert "<script>bad()" not in page
    assert "&lt;script&gt;bad()" in page
    assert f"looks like: {COMBINATIONS[61].caption}" in page


@pytest.mark.parametrize("part", ["run", "samples", "evaluation"])
def test_report_of_a_part(
    tmp_path: Path, part: str, evaluation: Path, groups: dict[str, Path], run: Path
) -> None:
    value = {"run": run, "samples": groups["seen"], "evaluation": evaluation}[part]
    page = report(tmp_path / "out", f"--{part}", value)
    assert ("<video" in page) == (part == "samples")
    scores = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (not scores["scores"]) == (part != "evaluation")
    assert (scores["training_seconds"] is None) == (part != "run")


def test_samples_that_nothing_can_judge(
    tmp_path: Path, scenes: MakeScenes, samples: MakeSamples
) -> None:
    folder = samples(
        tmp_path / "real",
        render(scenes(COMBINATIONS[:2]), *SIZE),
        ["<b>A</b> dog", ""],
        suffix=".gif",
    )
    page = report(tmp_path / "out", "--samples", folder)
    assert "data:image/gif" in page
    assert "&lt;b&gt;A&lt;/b&gt; dog" in page


def test_a_rewritten_prompt_has_its_original_next_to_it(
    tmp_path: Path, groups: dict[str, Path]
) -> None:
    index = groups["seen"] / "samples.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()]
    rows[0]["original_prompt"] = "red <square>, left"
    rows[1]["original_prompt"] = rows[1]["prompt"]  # could not be rewritten
    index.write_text("\n".join(map(json.dumps, rows)) + "\n")
    page = report(tmp_path / "out", "--samples", f"seen={groups['seen']}")
    assert re.findall(r"rewritten from: (.*?)</div>", page) == ["red &lt;square&gt;, left"]


def test_the_wrong_ones_are_shown_first(
    tmp_path: Path, evaluation: Path, groups: dict[str, Path]
) -> None:
    page = report(
        tmp_path / "out", "--evaluation", evaluation, f"--samples=unseen={groups['unseen']}",
        "--num_videos", "1",
    )  # fmt: skip
    assert page.count("<video") == 1
    assert page.index("<video") < page.index(f"looks like: {COMBINATIONS[61].caption}")
    assert "1 of 3 videos" in page


def test_marks_are_not_shown_beside_other_videos(
    tmp_path: Path, evaluation: Path, groups: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = groups["seen"] / "0000.mp4", groups["seen"] / "0001.mp4"
    shutil.copy(first, second)
    arguments = ["report", "--evaluation", str(evaluation), f"--samples=seen={groups['seen']}"]
    said = failure([*arguments, "--output", str(tmp_path / "out")], capsys)
    assert "run `vidiff evaluate` again" in said
    assert not (tmp_path / "out").exists()


def test_report_errors(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--output", str(tmp_path / "out")]
    assert "nothing to report" in failure(["report", *out], capsys)
    (tmp_path / "bare").mkdir()
    assert "holds no run" in failure(["report", "--run", str(tmp_path / "bare"), *out], capsys)
    (tmp_path / "old.json").write_text('{"groups": {}}')
    other = ["report", "--evaluation", str(tmp_path / "old.json"), *out]
    assert "is no evaluation" in failure(other, capsys)
    report(tmp_path / "out", "--run", run)
    assert "--overwrite" in failure(["report", "--run", str(run), *out], capsys)


def test_page_in_a_browser(
    tmp_path: Path, chromium: str, evaluation: Path, groups: dict[str, Path], run: Path
) -> None:
    whole_report(tmp_path / "out", evaluation, groups, run)
    options = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--window-size=1400,2400", "--virtual-time-budget=10000", "--dump-dom",
    ]  # fmt: skip
    page = (tmp_path / "out" / "index.html").as_uri()
    command = [chromium, *options, f"--user-data-dir={tmp_path / 'profile'}", page]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    body = re.search(r"<body[^>]*>", dom)
    assert body is not None
    assert 'data-videos="7"' in body[0]
    assert 'data-decoded="7"' in body[0]
