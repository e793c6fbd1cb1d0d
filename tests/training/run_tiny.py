"""A tiny training run in a process of its own, for tests that kill it or give it two processes.

It notes each step in ``steps.jsonl``: the loss, the clips, and the state of the random numbers.
"""

import argparse
import hashlib
import json
import os
import signal
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import ModelParallelStrategy

from vidiff.autoencoders import CausalKL
from vidiff.conditions import Words
from vidiff.data import MovingShapes
from vidiff.denoisers import DiT, compile_blocks
from vidiff.discriminators import Patch3D
from vidiff.patchifiers import Tubelet
from vidiff.training import AutoencoderTask, DiffusionTask
from vidiff.training.callbacks import SaveCheckpoint
from vidiff.training.data import VideoDataModule
from vidiff.training.diffusion import task as diffusion
from vidiff.training.trainer import VidiffTrainer

NUM_STEPS = 10
STEPS_PER_EPOCH = 4
EVERY = 3  # steps between checkpoints: both in the middle of an epoch


class Note(Callback):
    def __init__(self, file, die_after, tell_after):
        self.file, self.die_after, self.tell_after = file, die_after, tell_after

    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
        line = {
            "step": trainer.global_step,
            "rank": trainer.global_rank,
            "loss": outputs["loss"].item().hex(),
            "ids": batch.ids,
            "rng": hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
        }
        if getattr(task, "adversary", None) is not None:
            line["discriminator"] = hashlib.sha256(
                b"".join(v.numpy().tobytes() for v in task.adversary.state_dict().values())
            ).hexdigest()
        if "text" in getattr(task, "conditions", {}):
            line["met"] = task.conditions["text"].met.nonzero().flatten().tolist()
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if trainer.global_step == self.tell_after and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        if trainer.global_step == self.die_after:
            os.kill(os.getpid(), signal.SIGKILL)


def make_task():
    return DiffusionTask(
        denoiser=partial(
            DiT, width=32, depth=2, num_heads=2, patchifier=partial(Tubelet, patch_size=(1, 4, 4))
        ),
        conditions={"text": partial(Words, text_dim=16, depth=1, num_rows=64)},
        warmup_steps=3,
        condition_dropout=0.3,
    )


def make_autoencoder_task(**settings):
    autoencoder = partial(CausalKL, latent_channels=4, folds=[(2, 4, 4)], width=[16], depth=1)
    return AutoencoderTask(autoencoder=autoencoder, warmup_steps=2, **settings)


def make_adversarial_task(**settings):
    discriminator = partial(Patch3D, width=8, depth=2)
    settings = {"adversarial_start": 1, "discriminator": discriminator} | settings
    return make_autoencoder_task(**settings)


def make_data(batch_size=4, num_workers=0, world_size=1):
    dataset = partial(
        MovingShapes, num_videos=STEPS_PER_EPOCH * batch_size * world_size + 1, num_val_videos=5,
        num_frames=3, height=16, width=16, radius=(3.0, 4.0), speed=(1.0, 2.0),
    )  # fmt: skip
    return VideoDataModule(dataset=dataset, batch_size=batch_size, num_workers=num_workers)


def make_strategy(name):
    if name == "sharded":
        return ModelParallelStrategy(2, 1, save_distributed_checkpoint=False)
    if name == "sharded_folder":
        return ModelParallelStrategy(2, 1)
    return name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ckpt", default=None)
    parser.add_argument("--die-after", type=int, default=-1)
    parser.add_argument("--tell-after", type=int, default=-1, help="of the second process")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--adversarial", action="store_true", help="train an autoencoder so")
    parser.add_argument("--sample", action="store_true", help="sample from --ckpt instead")
    parser.add_argument("--compile", action="store_true", help="compile blocks, to nothing new")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.folder.mkdir(parents=True, exist_ok=True)
    trainer = VidiffTrainer(
        accelerator="cpu", devices=args.devices, strategy=make_strategy(args.strategy),
        max_steps=NUM_STEPS, default_root_dir=args.folder, logger=False, gradient_clip_val=1.0,
        log_every_n_steps=2, enable_progress_bar=False, enable_model_summary=False,
        precision="32-true",
        callbacks=[
            Note(args.folder / "steps.jsonl", args.die_after, args.tell_after),
            SaveCheckpoint(EVERY, keep_all=True),
        ],
    )  # fmt: skip
    if args.sample:
        trainer.sample(
            make_task(), prompts="a;b c;d;e;f", output=str(args.folder / "samples"), num_steps=2,
            ckpt_path=args.ckpt, batch_size=2, formats="gif",
        )  # fmt: skip
        return
    data = make_data(num_workers=args.workers, world_size=args.devices)
    task = make_task()
    if args.compile:
        task.compile_denoiser = True
        diffusion.compile_blocks = partial(compile_blocks, backend="eager")
    if args.adversarial:
        whole = not args.strategy.startswith("sharded")
        task = make_adversarial_task(adaptive_weight=whole, ema_decay=0.9)
    trainer.fit(task, data, ckpt_path=args.ckpt, weights_only=True)


if __name__ == "__main__":
    main()
