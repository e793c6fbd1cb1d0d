"""Pretrained text encoders in training: named in checkpoints, cached, planned, trained along."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_encoders import save
from test_encoding import SHAPES, cache, make_task, run
from test_resume import assert_same
from test_tasks import trainer

import vidiff
from vidiff.checkpoints import read_checkpoint
from vidiff.conditioning import Joint
from vidiff.conditions import HuggingFace
from vidiff.conditions.huggingface import encoder as encoders
from vidiff.costs.plan import plan
from vidiff.data import LatentCache
from vidiff.data.cache_index import read_index
from vidiff.denoisers import DiT
from vidiff.model import load_model
from vidiff.patchifiers import Tubelet
from vidiff.training import DiffusionTask
from vidiff.training.data import VideoDataModule

PROMPTS = ["a red square moves left", "a blue circle"]
CHECKPOINT = "checkpoints/last.ckpt"


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    return {name: str(save(tmp_path / name, name)) for name in ("t5", "clip_projection")}


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """The folders that were loaded, each time that one was."""
    found, original = [], encoders.load

    def load(folder, dtype):
        found.append(folder.path.name)
        return original(folder, dtype)

    monkeypatch.setattr(encoders, "load", load)
    return found


def two(folders: dict[str, str], **settings: object) -> dict[str, object]:
    """As SD3 and HunyuanVideo have it: tokens of T5, and CLIP's vector."""
    return {
        "t5": partial(HuggingFace, folder=folders["t5"], pooled="none", **settings),
        "clip": partial(HuggingFace, folder=folders["clip_projection"], tokens=False),
    }


def joint_task(conditions: dict[str, object], **settings: object) -> DiffusionTask:
    patchifier = partial(Tubelet, patch_size=(1, 4, 4))
    denoiser = partial(
        DiT, width=16, depth=1, num_heads=2, patchifier=patchifier, conditioning=Joint
    )
    return DiffusionTask(denoiser=denoiser, conditions=conditions, warmup_steps=2, **settings)


def data() -> VideoDataModule:
    return VideoDataModule(dataset=SHAPES, batch_size=4)


def test_guidance_loads_each_encoder_once(folders, loads) -> None:
    task = joint_task(two(folders))
    task.configure_model()
    assert not loads
    task.clip_size = (3, 16, 16)
    task.eval()
    guided = task.sample(PROMPTS, num_steps=2, guidance_scale=3.0)
    assert guided.shape == (2, 3, 3, 16, 16)
    assert sorted(loads) == ["clip_projection", "t5"]
    task.sample(PROMPTS, num_steps=2, guidance_scale=3.0, negative_prompt="a cross")
    assert len(loads) == 2


def test_a_checkpoint_names_the_folders_and_holds_none_of_them(folders, tmp_path: Path) -> None:
    task = joint_task(two(folders))
    trainer(tmp_path / "run", max_steps=2).fit(task, data())
    checkpoint = tmp_path / "run" / CHECKPOINT
    held = read_checkpoint(checkpoint)
    assert not [key for key in held["state_dict"] if "conditions" in key and "denoiser" not in key]
    assert {name: part["folder"] for name, part in held["named"].items()} == {
        "conditions.t5": folders["t5"], "conditions.clip": folders["clip_projection"],
    }  # fmt: skip
    loaded = vidiff.load(checkpoint)
    videos = loaded.sample(PROMPTS, num_steps=2)
    assert torch.equal(videos, task.eval().sample(PROMPTS, num_steps=2))
    assert loaded.encoders.held() == task.encoders.held()
    assert load_model(checkpoint).conditions["t5"].dims.tokens == 16
    shutil.copytree(folders["t5"], tmp_path / "elsewhere")
    moved = joint_task(two(folders | {"t5": str(tmp_path / "elsewhere")}))
    moved.configure_model()
    moved.on_load_checkpoint(held)
    config = Path(folders["t5"], "config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dropout_rate": 0.2}))
    with pytest.raises(ValueError, match=r"conditions.t5: .*t5 has other weights or settings than"):
        vidiff.load(checkpoint)
    shutil.rmtree(folders["t5"])
    with pytest.raises(ValueError, match=r"read from .*/t5, and that is not there any more"):
        vidiff.load(checkpoint)


def test_an_encoder_of_another_width_does_not_fit_a_checkpoint(folders, tmp_path: Path) -> None:
    trainer(tmp_path / "run", max_steps=1).fit(joint_task(two(folders)), data())
    other = joint_task(two(folders | {"clip_projection": folders["t5"]}))
    with pytest.raises(ValueError, match=r"conditions.clip: .*t5 has other weights or settings"):
        trainer(tmp_path / "other", max_steps=2).fit(
            other, data(), ckpt_path=str(tmp_path / "run" / CHECKPOINT)
        )


def test_resuming_is_as_never_having_stopped(folders, tmp_path: Path) -> None:
    whole, part = (trainer(tmp_path / name, max_steps=n) for name, n in (("a", 4), ("b", 2)))
    tasks = [joint_task(two(folders)) for _ in range(3)]
    for task in tasks:
        task.decay_fraction = 0.0
    whole.fit(tasks[0], data())
    part.fit(tasks[1], data())
    trainer(tmp_path / "b", max_steps=4).fit(
        tasks[2], data(), ckpt_path=str(tmp_path / "b" / CHECKPOINT)
    )
    states = [read_checkpoint(tmp_path / name / CHECKPOINT)["state_dict"] for name in "ab"]
    assert_same(*states)


@pytest.mark.parametrize("fixed", [{}, {"padding": "max_length", "max_length": 8, "mask": "none"}])
def test_training_from_a_cache_loads_no_encoder(folders, loads, tmp_path: Path, fixed) -> None:
    conditions = two(folders, **fixed)
    task = partial(joint_task, conditions, condition_dropout={"t5": 0.5, "clip": 0.5})
    root = cache(tmp_path, SHAPES, task(), num_epochs=4)
    assert sorted(loads) == ["clip_projection", "t5"]
    assert set(read_index(root).conditions) == {"t5", "clip"}
    tensors = load_file(root / "train-000000.safetensors")
    assert tensors["signals.clip.vector"].shape[1] == 8
    held = LatentCache(split="train", root=str(root))
    encoder = conditions["t5"]()
    for sample in (held[0], held[5]):
        expected, empty = encoder.read([sample.caption]), encoder.read([""])
        torch.testing.assert_close(sample.signals["t5"].tokens, expected.tokens)
        torch.testing.assert_close(sample.empty["t5"].tokens, empty.tokens)
    direct = run(tmp_path / "direct", SHAPES, task())
    loads.clear()
    encoders._shared.clear()
    cached = run(tmp_path / "cached", partial(LatentCache, root=str(root)), task())
    assert not loads
    assert cached[0] == pytest.approx(direct[0], abs=1e-5)
    assert cached[1] == pytest.approx(direct[1], abs=1e-5)


def test_a_cache_of_another_folder_is_refused_and_the_device_does_not_matter(
    folders, tmp_path: Path
) -> None:
    root = cache(tmp_path, SHAPES, joint_task(two(folders)))
    cached = VideoDataModule(dataset=partial(LatentCache, root=str(root)), batch_size=4)
    same = two(folders, device="cpu", remember=3)
    trainer(tmp_path / "same", max_steps=1).fit(joint_task(same), cached)
    other = two(folders, template="of {}")
    with pytest.raises(ValueError, match=r"with another condition 't5' than this task has"):
        trainer(tmp_path / "other").fit(joint_task(other), cached)


def test_half_precision_reaches_a_network_in_single(folders, tmp_path: Path) -> None:
    task = joint_task(two(folders, dtype="bfloat16"))
    trainer(tmp_path, max_steps=2).fit(task, data())
    assert torch.isfinite(task.last_loss)


def test_one_that_is_trained_along_is_held_and_moves(folders, tmp_path: Path) -> None:
    text = partial(HuggingFace, folder=folders["t5"], frozen=False)
    task = make_task(conditions={"text": text})
    trainer(tmp_path, max_steps=3).fit(task, data())
    before = HuggingFace(folder=folders["t5"], frozen=False).state_dict()
    checkpoint = tmp_path / CHECKPOINT
    held = read_checkpoint(checkpoint)
    assert held["named"] == {}
    moved = {
        name: (held["state_dict"][f"conditions.text.{name}"] - value).abs().max() > 0
        for name, value in before.items()
    }
    assert all(moved.values())
    loaded = load_model(checkpoint).conditions["text"].read(PROMPTS)
    averaged = task.ema["conditions"]["text"].eval().read(PROMPTS)
    assert torch.equal(loaded.tokens, averaged.tokens)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_plan_counts_the_encoder_and_reads_no_weights(folders, device: str) -> None:
    Path(folders["t5"], "model.safetensors").write_bytes(b"of no use")
    costs = plan(joint_task(two(folders)), clip=(3, 16, 16), batch_size=2, device=device)
    sizes = {name: part.frozen for name, part in costs.parts.items()}
    t5 = encoders.empty(HuggingFace(folder=folders["t5"]).folder, torch.float32, "meta")
    assert sizes["conditions.t5"] == sum(p.numel() for p in t5.parameters())
    assert sizes["conditions.clip"] > 0
    assert costs.parts["conditions.t5"].trained == 0
    trained = plan(
        joint_task(two(folders, frozen=False)), clip=(3, 16, 16), batch_size=2, device=device
    )
    assert trained.parts["conditions.t5"].trained == sizes["conditions.t5"]
    assert trained.flops > costs.flops
