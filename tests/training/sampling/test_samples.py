import json
import threading

import pytest
import torch
from PIL import Image
from run_tiny import make_data, make_task
from test_tasks import autoencoder_task, trainer

from vidiff.captions import read_prompts
from vidiff.training.sampling import folder as samples
from vidiff.training.sampling.folder import SampleFolder, read_formats
from vidiff.training.trainer import VidiffTrainer
from vidiff.video import read_clip, write_video

PROMPTS = "a red square moves left; a blue disc; a red square moves left; zebra"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    trainer(folder).fit(make_task(), make_data())
    return folder / "checkpoints" / "last.ckpt"


def sample(folder, checkpoint, **settings):
    settings = {"prompts": PROMPTS, "seed": 1, "num_steps": 2} | settings
    run = VidiffTrainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder,
        precision="bf16-mixed",
    )  # fmt: skip
    run.sample(make_task(), output=str(folder), ckpt_path=str(checkpoint), **settings)
    lines = (folder / "samples.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def frames(folder, record):
    video = read_clip(folder / record["file"], num_frames=record["settings"]["num_frames"])
    scale = record["settings"]["scale"]
    return torch.nn.functional.avg_pool3d(video, (1, scale, scale))


def test_files_hold_what_the_task_samples(tmp_path, checkpoint):
    records = sample(tmp_path, checkpoint, batch_size=3)
    assert [r["prompt"] for r in records] == read_prompts(PROMPTS)
    assert [r["index"] for r in records] == [0, 1, 2, 3]
    settings = records[0]["settings"]
    assert (settings["num_frames"], settings["height"], settings["width"]) == (3, 16, 16)
    assert (settings["step"], settings["scale"], settings["num_steps"]) == (6, 16, 2)
    assert len(settings["checkpoint_sha256"]) == 64
    assert (settings["trained_in"], settings["precision"]) == ("32-true", "32-true")
    assert settings["sampler"]["class_path"].endswith("Euler")

    import vidiff

    pixels = vidiff.load(checkpoint).sample(read_prompts(PROMPTS), seed=1, num_steps=2)
    for record, expected in zip(records, pixels, strict=True):
        error = (frames(tmp_path, record) - expected).square().mean()
        assert 10 * torch.log10(4 / error) > 30  # dB, for videos that are close to noise
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert sheet.height > 4 * 96


def test_batch_size_does_not_change_videos(tmp_path, checkpoint):
    one = sample(tmp_path / "one", checkpoint, batch_size=1)
    all_ = sample(tmp_path / "all", checkpoint, batch_size=8)
    for a, b in zip(one, all_, strict=True):
        assert a == b
        difference = frames(tmp_path / "one", a) - frames(tmp_path / "all", b)
        assert difference.abs().max() <= 2 / 127.5  # rounding


def test_same_prompt_twice_gives_two_videos(tmp_path, checkpoint):
    records = sample(tmp_path, checkpoint)
    assert (frames(tmp_path, records[0]) - frames(tmp_path, records[2])).abs().mean() > 0.05


def test_a_call_that_was_cut_off_goes_on(tmp_path, checkpoint):
    records = sample(tmp_path, checkpoint)
    before = {r["file"]: (tmp_path / r["file"]).stat().st_mtime_ns for r in records}
    (tmp_path / "samples.jsonl").unlink()
    (tmp_path / records[1]["file"]).unlink()
    assert sample(tmp_path, checkpoint) == records
    after = {r["file"]: (tmp_path / r["file"]).stat().st_mtime_ns for r in records}
    assert [r["index"] for r in records if before[r["file"]] != after[r["file"]]] == [1]
    assert sample(tmp_path, checkpoint) == records  # nothing left to do


def test_formats_are_asked_for(tmp_path, checkpoint):
    records = sample(tmp_path, checkpoint)
    assert {p.suffix for p in tmp_path.iterdir()} == {".mp4", ".png", ".json", ".jsonl"}
    more = sample(tmp_path, checkpoint, formats="mp4, gif")  # the same videos: they are added
    for one, both in zip(records, more, strict=True):
        gif = both.pop("gif")
        assert one == both
        with Image.open(tmp_path / gif) as file:
            assert file.n_frames == 3
    assert read_formats(".GIF,webm,gif") == ["gif", "webm"]
    for bad in ("", "mp4,avi"):
        with pytest.raises(ValueError, match="formats must be some of mp4, webm, gif, got"):
            read_formats(bad)


def test_files_are_written_beside_sampling_and_not_read_again(tmp_path, checkpoint, monkeypatch):
    threads = []

    def write(path, pixels, fps):
        threads.append(threading.current_thread())
        write_video(path, pixels, fps)

    monkeypatch.setattr(samples, "write_video", write)
    monkeypatch.setattr(samples, "read_clip", None)  # the contact sheet has its frames
    sample(tmp_path, checkpoint, batch_size=1)
    assert len(threads) == 4
    assert threading.main_thread() not in threads


def test_a_file_that_cannot_be_written_is_an_error_and_the_others_stay(
    tmp_path, checkpoint, monkeypatch
):
    def write(path, pixels, fps):
        if path.name.startswith("00001"):
            raise OSError("disk full")
        write_video(path, pixels, fps)

    monkeypatch.setattr(samples, "write_video", write)
    with pytest.raises(OSError, match="disk full"):
        sample(tmp_path, checkpoint)
    assert not (tmp_path / "samples.jsonl").exists()
    monkeypatch.undo()
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.mp4")}
    assert len(before) == 3
    records = sample(tmp_path, checkpoint)
    assert [r["index"] for r in records if r["file"] not in before] == [1]
    assert all((tmp_path / name).stat().st_mtime_ns == time for name, time in before.items())


@pytest.mark.parametrize("other", [{"seed": 2}, {"prompts": "a red square"}, {"num_steps": 3}])
def test_samples_of_another_call_are_not_overwritten(tmp_path, checkpoint, other):
    sample(tmp_path, checkpoint)
    with pytest.raises(ValueError, match="holds samples made with other prompts, seed"):
        sample(tmp_path, checkpoint, **other)


def test_a_call_that_failed_leaves_the_folder_free(tmp_path, checkpoint):
    with pytest.raises(ValueError, match="18 latent height do not divide into patches of 4"):
        sample(tmp_path, checkpoint, height=18)
    assert len(sample(tmp_path, checkpoint, height=20)) == 4


def test_a_folder_of_other_things_is_left_alone(tmp_path, checkpoint):
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(ValueError, match="is not empty and holds no samples"):
        sample(tmp_path, checkpoint)


def test_unknown_words_are_told(tmp_path, checkpoint):
    with pytest.warns(UserWarning, match=r"words that training never met: .*zebra"):
        sample(tmp_path, checkpoint)


def test_what_cannot_be_sampled(tmp_path, checkpoint):
    run = trainer(tmp_path)
    with pytest.raises(ValueError, match="only a DiffusionTask makes videos"):
        run.sample(autoencoder_task(), prompts="x", ckpt_path=str(checkpoint))
    with pytest.raises(ValueError, match="give --ckpt_path"):
        run.sample(make_task(), prompts="x")
    with pytest.raises(ValueError, match="does not exist"):
        run.sample(make_task(), prompts="x", ckpt_path=str(tmp_path / "none.ckpt"))
    bounds = {"batch_size": "at least 1", "scale": "at least 1", "fps": "positive"}
    for name, bound in bounds.items():
        with pytest.raises(ValueError, match=f"{name} must be {bound}, got -1"):
            run.sample(make_task(), prompts="x", ckpt_path=str(checkpoint), **{name: -1})
    with pytest.raises(ValueError, match=r"formats must be some of .*, got 'mp5'"):  # no file yet
        run.sample(make_task(), prompts="x", ckpt_path=str(tmp_path / "none"), formats="mp5")
    with pytest.raises(ValueError, match="no clip, so give all three"):
        make_task().sample(["x"])


def test_names_stay_inside_the_folder(tmp_path):
    folder = SampleFolder(
        tmp_path / "out", ["../../etc/passwd", "", "é" * 500], seed=0, fps=8, size=(64, 128),
        settings={"num_frames": 1},
    )  # fmt: skip
    assert folder.scale == 4
    assert folder.claim().missing == [0, 1, 2]
    for index in range(3):
        folder.write(index, torch.zeros(3, 1, 64, 128))
    folder.finish()
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    assert folder.record(0)["file"] == "00000-etc-passwd.mp4"
    assert folder.record(1)["file"] == "00001.mp4"
