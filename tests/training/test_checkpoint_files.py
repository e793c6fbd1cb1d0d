"""A checkpoint is whole or not there, on any disk."""

import resource
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback
from run_tiny import make_data, make_task
from test_tasks import trainer

from vidiff.training import checkpoint_files
from vidiff.training.callbacks import SaveCheckpoint
from vidiff.training.checkpoint_files import CheckpointFiles, link, publish, unfinished


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class Fill(Callback):
    """No file may grow beyond a few bytes from a step on, as on a disk that is full."""

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))


@pytest.fixture
def endless_disk():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("endless_disk")
def test_a_full_disk_leaves_the_previous_checkpoint_and_no_stump(tmp_path):
    run = trainer(tmp_path, callbacks=[Fill(), SaveCheckpoint(every_n_steps=2)])
    with pytest.raises(OSError, match=r"step_00000004.ckpt cannot be written: .* make room, then"):
        run.fit(make_task(), make_data())
    folder = tmp_path / "checkpoints"
    assert names(folder) == ["last.ckpt", "step_00000002.ckpt"]
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 2


def test_a_checkpoint_never_stands_half_written_under_its_name(tmp_path, monkeypatch):
    """Seen at every write: the final name is not there until the rename."""
    folder, seen = tmp_path / "checkpoints", []
    save = torch.save

    def watched(checkpoint, file):
        save(checkpoint, file)
        seen.append(names(folder))

    monkeypatch.setattr(checkpoint_files.torch, "save", watched)
    trainer(tmp_path, callbacks=[SaveCheckpoint(every_n_steps=3)]).fit(make_task(), make_data())
    assert seen[0] == [".step_00000003.ckpt.unfinished"]
    # The older one, and last.ckpt that names it, go when the newer one is complete.
    assert seen[1] == [".step_00000006.ckpt.unfinished", "last.ckpt", "step_00000003.ckpt"]
    assert names(folder) == ["last.ckpt", "step_00000006.ckpt"]


def test_a_kill_before_the_old_one_goes_leaves_last_whole(tmp_path, monkeypatch):
    removed = []

    def remove(io, path):
        removed.append((tmp_path / "checkpoints" / "last.ckpt").resolve().name)

    monkeypatch.setattr(TorchCheckpointIO, "remove_checkpoint", remove)
    trainer(tmp_path, callbacks=[SaveCheckpoint(every_n_steps=3)]).fit(make_task(), make_data())
    assert removed == ["step_00000006.ckpt"], "when step 3 goes, last.ckpt names step 6"


def test_what_a_kill_left_is_swept(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    unfinished(folder / "step_00000100.ckpt").write_bytes(b"half")
    (unfinished(folder / "step_00000200.ckpt")).mkdir()
    trainer(tmp_path, max_steps=1).fit(make_task(), make_data())
    assert names(folder) == ["last.ckpt", "step_00000001.ckpt"]


def test_links_become_copies_where_the_disk_knows_none(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    for text in ("one", "two"):
        (tmp_path / text).write_text(text)
        link(tmp_path / text, tmp_path / "last")
        assert (tmp_path / "last").read_text() == text
    assert not (tmp_path / "last").is_symlink()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "part").write_text("three")
    link(tmp_path / "folder", tmp_path / "last_folder")
    assert (tmp_path / "last_folder" / "part").read_text() == "three"
    assert names(tmp_path) == ["folder", "last", "last_folder", "one", "two"]


def test_a_sharded_folder_replaces_one_of_its_name(tmp_path):
    final = tmp_path / "a.ckpt"
    for text in ("old", "new"):
        temporary = unfinished(final)
        temporary.mkdir()
        (temporary / text).write_text(text)
        publish(temporary, final)
        assert names(final) == [text]
    assert names(tmp_path) == ["a.ckpt"]


def test_the_failure_of_a_write_is_that_of_the_disk(tmp_path):
    with pytest.raises(OSError, match=r"No such file|Is a directory"):
        CheckpointFiles().save_checkpoint({"a": torch.ones(1)}, tmp_path)
