"""Whether a latent cache was made by the encoders that it is trained with."""

from __future__ import annotations

from abc import abstractmethod

from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn

from vidiff.data import LatentCache, Split
from vidiff.training.data import VideoDataModule


class CacheCheck(LightningModule):
    """Refuses latents and signals that other encoders made, before the first step."""

    @abstractmethod
    def encoder_hashes(self) -> tuple[str, dict[str, str]]:
        """Hashes of the autoencoder and, by name, of the frozen conditions."""

    def on_fit_start(self) -> None:
        self.check_cache("train")

    def on_validation_start(self) -> None:
        if self.trainer.state.fn != TrainerFn.FITTING:
            self.check_cache("val")

    def on_test_start(self) -> None:
        self.check_cache("test")

    def check_cache(self, split: Split) -> None:
        """Compare the encoders of a split's cache with this task's.

        Raises:
            ValueError: if the split is a latent cache, and of another.
        """
        data = getattr(self.trainer, "datamodule", None)
        dataset = data.dataset(split) if isinstance(data, VideoDataModule) else None
        if not isinstance(dataset, LatentCache):
            return
        index = dataset.index
        autoencoder, conditions = self.encoder_hashes()
        # A condition that is missing on either side is computed in training.
        pairs = [("autoencoder", "model.autoencoder", autoencoder, index.autoencoder)] + [
            (f"condition {name!r}", f"model.conditions.{name}", ours, index.conditions[name])
            for name, ours in conditions.items()
            if name in index.conditions
        ]
        for name, key, ours, held in pairs:
            if ours != held:
                raise ValueError(
                    f"{dataset.root} was encoded with another {name} than this task has (hash "
                    f"{held[:12]}, here {ours[:12]}): encode again with this config into another "
                    f"folder, or set {key} to the one that it was made with; trainer.precision "
                    "'bf16-true' and '16-true' change weights too"
                )
