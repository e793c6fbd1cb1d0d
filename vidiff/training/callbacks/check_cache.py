"""Whether a latent cache is of the encoders that a task has."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from vidiff.data import LatentCache, Split
from vidiff.training.data import VideoDataModule
from vidiff.training.diffusion.task import DiffusionTask


class CheckCache(Callback):
    """Refuses latents and signals that other encoders made, before the first step."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        check(trainer, pl_module, "train")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            check(trainer, pl_module, "val")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        check(trainer, pl_module, "test")


def check(trainer: Trainer, task: LightningModule, split: Split) -> None:
    """Compare the encoders of a split's cache, if it is one, with those of the task.

    Raises:
        ValueError: if one differs.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(task, DiffusionTask) or not isinstance(data, VideoDataModule):
        return
    cache = data.dataset(split)
    if not isinstance(cache, LatentCache):
        return
    autoencoder, conditions = task.encoders.hashes()
    # A condition that is missing on either side is computed in training.
    pairs = [("autoencoder", "model.autoencoder", autoencoder, cache.index.autoencoder)] + [
        (f"condition {name!r}", f"model.conditions.{name}", ours, cache.index.conditions[name])
        for name, ours in conditions.items()
        if name in cache.index.conditions
    ]
    for name, key, ours, held in pairs:
        if ours != held:
            raise ValueError(
                f"{cache.root} was encoded with another {name} than this task has (hash "
                f"{held[:12]}, here {ours[:12]}): encode again with this config into another "
                f"folder, or set {key} to the one that it was made with; trainer.precision "
                "'bf16-true' and '16-true' change weights too"
            )
