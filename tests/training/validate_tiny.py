"""Validates a tiny autoencoder and writes its scores, for tests that give it two processes."""

import argparse
import json
from functools import partial
from pathlib import Path

import torch
from run_tiny import make_strategy
from run_tiny import make_task as make_diffusion_task

from vidiff.autoencoders import FSQ, CausalKL
from vidiff.data import MovingShapes
from vidiff.training import AutoencoderTask
from vidiff.training.data import VideoDataModule
from vidiff.training.trainer import VidiffTrainer

SMALL = {"folds": [(2, 4, 4)], "width": [16], "depth": 1}
AUTOENCODERS = {
    "causal_kl": partial(CausalKL, latent_channels=4, **SMALL),
    "fsq": partial(FSQ, levels=[4, 3], **SMALL),
}


def make_task(autoencoder="fsq", **settings):
    return AutoencoderTask(autoencoder=AUTOENCODERS[autoencoder], warmup_steps=2, **settings)


def make_data(batch_size=2, num_val_videos=5):
    dataset = partial(
        MovingShapes, num_videos=8, num_val_videos=num_val_videos, num_frames=3, height=16,
        width=16, radius=(3.0, 4.0), speed=(1.0, 2.0),
    )  # fmt: skip
    return VideoDataModule(dataset=dataset, batch_size=4, val_batch_size=batch_size)


def make_trainer(folder, **settings):
    settings = {"logger": False, "max_steps": 4, "num_sanity_val_steps": 0} | settings
    settings = {"precision": "32-true"} | settings
    return VidiffTrainer(
        accelerator="cpu", default_root_dir=folder, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=2, **settings,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--devices", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    trainer = make_trainer(args.folder, strategy=make_strategy(args.strategy), devices=args.devices)
    scores = trainer.validate(make_task(), make_data(), verbose=False)[0]
    scores |= trainer.test(make_diffusion_task(), make_data(), verbose=False)[0]
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / f"{trainer.global_rank}.json").write_text(json.dumps(scores))


if __name__ == "__main__":
    main()
