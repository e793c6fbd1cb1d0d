"""How much faster is training from a latent cache than encoding on the fly?

    python experiments/benchmarks/latent_cache.py [--steps 20] [--rounds 5]

Both train the same small diffusion transformer on the same clips of MovingShapes, a few steps of
each in turn, from the data to the optimizer. Prints, for each autoencoder, steps per second from
the cache over steps per second on the fly, and what encoding one epoch costs in steps.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import seed_everything
from timing import in_turns
from torch import Tensor

from vidiff.autoencoders import CausalKL, FramewiseKL, MakeAutoencoder
from vidiff.data import LatentCache, MakeDataset, MovingShapes
from vidiff.denoisers import DiT
from vidiff.patchifiers import Tubelet
from vidiff.precision import has_fast_bf16
from vidiff.training import DiffusionTask
from vidiff.training.data import VideoDataModule
from vidiff.training.trainer import VidiffTrainer

CLIPS, BATCH = 256, 32
SOURCE = partial(
    MovingShapes, num_videos=CLIPS, num_val_videos=BATCH, radius=(6.0, 7.0), speed=(1.75, 1.75)
)
AUTOENCODERS: dict[str, MakeAutoencoder] = {
    "causal_kl": partial(CausalKL, latent_channels=8, folds=[(2, 4, 4)], width=[64], depth=2),
    "framewise_kl": partial(FramewiseKL, latent_channels=4, width=[32, 64, 64], depth=1),
}


def make_task(autoencoder: MakeAutoencoder) -> DiffusionTask:
    """A small transformer on the latents of an autoencoder that has random weights."""
    denoiser = partial(
        DiT, width=128, depth=4, num_heads=4, patchifier=partial(Tubelet, patch_size=(1, 2, 2))
    )
    return DiffusionTask(autoencoder=autoencoder, denoiser=denoiser)


def data_of(dataset: MakeDataset) -> VideoDataModule:
    """Batches, made in the training process."""
    return VideoDataModule(dataset=dataset, batch_size=BATCH)


def trainer(folder: Path) -> VidiffTrainer:
    """A trainer that keeps nothing."""
    return VidiffTrainer(
        accelerator="cpu", default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_checkpointing=False,
    )  # fmt: skip


def stepper(task: DiffusionTask, data: VideoDataModule, num_steps: int) -> Callable[[], None]:
    """Trains some steps on the next batches at each call."""
    task.configure_model()
    task.train()
    loader = data.train_dataloader()
    optimizer = task.make_optimizer().build(list(task.trained_parts().values()))
    losses: list[Tensor] = []
    task.finish_step = lambda terms, batch_size: losses.append(terms["loss"])  # type: ignore[method-assign]

    def steps() -> None:
        losses.clear()
        for _ in range(num_steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16("cpu")):
                loss = task.training_step(next(loader), 0)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return steps


def main() -> None:
    """Encode, time and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--steps", type=int, default=20, help="in each turn")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    for name, autoencoder in AUTOENCODERS.items():
        with tempfile.TemporaryDirectory() as folder:
            seed_everything(0)
            root = Path(folder) / "cache"
            start = time.perf_counter()
            trainer(root).encode(make_task(autoencoder), data_of(SOURCE), str(root), splits="train")
            encoding = time.perf_counter() - start
            cached = partial(LatentCache, root=str(root))
            turns = {
                "cache": stepper(make_task(autoencoder), data_of(cached), args.steps),
                "on the fly": stepper(make_task(autoencoder), data_of(SOURCE), args.steps),
            }
            seconds = in_turns(turns, args.rounds)
        ratio = seconds["on the fly"] / seconds["cache"]
        print(
            f"{name}: {args.steps / seconds['cache']:.1f} steps per second from the cache, "
            f"{args.steps / seconds['on the fly']:.1f} on the fly: {ratio:.2f} times as fast; "
            f"encoding {CLIPS} clips took {encoding * args.steps / seconds['on the fly']:.0f} "
            "steps' time"
        )


if __name__ == "__main__":
    main()
