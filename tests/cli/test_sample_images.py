"""``vidiff sample --image``: a model with a condition ``frames`` goes on from a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny import TINY, write_config
from torch import Tensor

import vidiff
from vidiff.__main__ import main
from vidiff.model import known_start
from vidiff.training import DiffusionTask
from vidiff.training.sampling.images import read_images

CHANGES: dict[str, Any] = {
    "model.init_args.conditions.frames": "frames",
    "model.init_args.autoencoder": {
        "class_path": "causal_kl",
        "init_args": {"latent_channels": 4, "folds": [[2, 4, 4]], "width": [8], "depth": 1},
    },
    "model.init_args.denoiser.init_args.patchifier.init_args.patch_size": [1, 2, 2],
    "data.dataset.init_args.num_frames": 5,
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: Any) -> Path:
    """A config whose run has been trained for two steps."""
    config = write_config(tmp_path_factory.mktemp("frames") / "c.yaml", CHANGES)
    assert main(["fit", "-c", str(config)]) == 0
    return config


@pytest.fixture(scope="module")
def task(done: Path) -> DiffusionTask:
    found = vidiff.load(done.parent / "run" / "checkpoints" / "last.ckpt")
    assert isinstance(found, DiffusionTask)
    return found


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A red one, a green one, and one of another size with a line across."""
    paths = [tmp_path / f"{name}.png" for name in ("red", "green", "line")]
    Image.new("RGB", (16, 16), (230, 20, 30)).save(paths[0])
    Image.new("RGB", (16, 16), (10, 200, 60)).save(paths[1])
    line = Image.new("RGB", (64, 32), (40, 40, 40))
    line.paste((250, 250, 250), (0, 12, 64, 20))
    line.save(paths[2])
    return paths


def sample(done: Path, output: Path, *words: object, prompts: str = "a;b") -> int:
    given = ["--ckpt_path=last", f"--prompts={prompts}", f"--output={output}", *map(str, words)]
    return main(["sample", "-c", str(done), *given])


def reconstruction(task: DiffusionTask, pixels: Tensor) -> Tensor:
    """The picture as the autoencoder gives it back: (b, 3, h, w)."""
    with torch.no_grad():
        decoded = task.autoencoder.decode(task.autoencoder.encode(pixels.unsqueeze(2)))
    return decoded.clamp(-1, 1)[:, :, 0]


def test_the_first_frame_is_the_pictures_reconstruction(
    task: DiffusionTask, pictures: list[Path]
) -> None:
    files = ";".join(map(str, pictures[:2]))
    images = read_images(files, 2, (16, 16))
    videos = task.sample(["a", "b"], inputs={"image": images}, num_steps=2)
    assert videos.shape == (2, 3, 5, 16, 16)
    torch.testing.assert_close(videos[:, :, 0], reconstruction(task, images), atol=1e-4, rtol=0)
    without = task.sample(["a", "b"], num_steps=2)
    assert (videos - without)[:, :, 0].abs().amax() > 0.01
    one_by_one = task.sample(["a", "b"], inputs={"image": images}, num_steps=2, batch_size=1)
    torch.testing.assert_close(videos, one_by_one, atol=1e-3, rtol=0)


def test_known_latents_may_be_given_as_they_are(task: DiffusionTask, pictures: list[Path]) -> None:
    images = read_images(str(pictures[0]), 2, (16, 16))
    known = known_start(task.model, images, (5, 16, 16))
    assert known.mask[:, 0, :, 0, 0].tolist() == [[1, 0, 0]] * 2
    expected = task.sample(["a", "b"], inputs={"image": images}, num_steps=2)
    for batch_size in (None, 1):
        given = {"inputs": {"known": known}, "num_steps": 2, "batch_size": batch_size}
        torch.testing.assert_close(task.sample(["a", "b"], **given), expected, atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="'known' has 2 entries for 1 videos"):
        task.sample(["a"], inputs={"known": known})


def test_the_command_writes_what_the_task_samples(
    done: Path, task: DiffusionTask, pictures: list[Path], tmp_path: Path, monkeypatch: Any
) -> None:
    written: dict[int, Tensor] = {}
    monkeypatch.setattr(
        "vidiff.training.sampling.folder.SampleFolder.write",
        lambda folder, index, pixels: written.update({index: pixels}),
    )
    monkeypatch.setattr("vidiff.training.sampling.folder.SampleFolder.finish", lambda folder: None)
    for number, files in enumerate((str(pictures[2]), f"{pictures[1]} ; {pictures[0]}")):
        assert sample(done, tmp_path / str(number), "--image", files) == 0
        images = read_images(files, 2, (16, 16))
        expected = task.sample(["a", "b"], inputs={"image": images}, num_steps=2)
        found = torch.stack([written[index] for index in range(2)])
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_a_picture_is_scaled_to_cover_the_clip_and_cropped_at_its_centre(
    pictures: list[Path],
) -> None:
    image = read_images(str(pictures[2]), 1, (16, 16))
    assert image.shape == (1, 3, 16, 16)
    rows = image[0, 0].mean(1)
    assert rows[7] > 0.8
    assert rows[0] == rows[15] == pytest.approx(40 / 127.5 - 1)
    assert image.std(3).max() < 1e-6, "the line goes from edge to edge"


def test_another_picture_is_another_call(
    done: Path, pictures: list[Path], tmp_path: Path, capsys: Any
) -> None:
    plans = []
    for number, picture in enumerate(pictures[:2]):
        assert sample(done, tmp_path / str(number), "--image", picture, prompts="a") == 0
        plans.append(json.loads((tmp_path / str(number) / "sampling.json").read_text()))
    one, two = (plan["settings"].pop("images") for plan in plans)
    assert one != two
    assert plans[0] == plans[1], "nothing but the picture differs"
    assert sample(done, tmp_path / "0", "--image", pictures[0], prompts="a") == 0
    for words in (["--image", pictures[1]], []):
        capsys.readouterr()
        assert sample(done, tmp_path / "0", *words, prompts="a") == 2
        assert "holds samples made with other prompts, " in capsys.readouterr().err


def refusal(capsys: Any, *words: Any, **settings: Any) -> str:
    capsys.readouterr()
    assert sample(*words, **settings) == 2
    line = str(capsys.readouterr().err.splitlines()[-1])
    assert line.startswith("vidiff: error: ")
    return line


def test_pictures_that_cannot_be_used_are_refused_in_one_line(
    done: Path, pictures: list[Path], tmp_path: Path, capsys: Any
) -> None:
    output = tmp_path / "out"
    (tmp_path / "text.png").write_text("no picture")
    for name in ("text.png", "none.png"):
        said = refusal(capsys, done, output, "--image", tmp_path / name)
        assert f"--image {tmp_path / name} cannot be read as a picture" in said
    three = ";".join(map(str, pictures))
    said = refusal(capsys, done, output, "--image", three)
    assert "--image has 3 files for 2 prompts: give one, or one for each" in said
    said = refusal(capsys, done, output, "--image", " ; ")
    assert "--image has 0 files for 2 prompts" in said
    assert not output.exists()


def test_a_model_without_frames_refuses_a_picture(
    pictures: list[Path], tmp_path: Path, capsys: Any
) -> None:
    config = write_config(tmp_path / "c.yaml")
    assert main(["fit", "-c", str(config)]) == 0
    said = refusal(capsys, config, tmp_path / "out", "--image", pictures[0])
    assert "this model cannot begin with an image: train it with a condition 'frames'" in said
    assert not list((tmp_path / "out").glob("*.mp4"))
    assert sample(config, tmp_path / "out") == 0, "the folder is free"
    assert "frames" not in TINY["model"]["init_args"]["conditions"]
