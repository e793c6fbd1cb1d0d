"""The encoders of a task: built, named in checkpoints, compared with those of a latent cache."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from vidiff.autoencoders import Autoencoder
from vidiff.building import Node
from vidiff.checkpoints import Checkpoint
from vidiff.data import LatentCache, Split
from vidiff.external import Named, check_named, named
from vidiff.fingerprints import weights_hash
from vidiff.model import Factories, autoencoder_from
from vidiff.training.data import VideoDataModule


class Encoders(LightningModule):
    """The autoencoder and the conditions: all that encoding a dataset needs.

    Latents and signals that other encoders made are refused before the first step.
    """

    autoencoder: Autoencoder
    conditions: nn.ModuleDict
    factories: Factories
    autoencoder_node: Node
    named_encoders: Named | None = None
    parts_built = False

    def build_encoders(self) -> None:
        """Build what stands before the denoiser."""
        self.autoencoder, self.conditions = self.factories.make_encoders()
        if node := self.autoencoder.node:
            self.autoencoder_node = node

    def adopt(self, checkpoint: Checkpoint) -> None:
        """Before parts are built: take the autoencoder from a checkpoint instead of its own file.

        Raises:
            ValueError: if parts are built already.
        """
        if self.parts_built:
            raise ValueError("adopt a checkpoint before configure_model() builds the parts")
        if node := checkpoint.get("autoencoder"):  # one in a folder is read by its own node
            self.autoencoder_node = node
            self.factories = replace(self.factories, autoencoder=autoencoder_from(node))

    def encoder_hashes(self) -> tuple[str, dict[str, str]]:
        """Hashes of the autoencoder and, by name, of the frozen conditions."""
        frozen = {name: part for name, part in self.conditions.items() if part.frozen}
        nodes = self.hparams["conditions"]
        return (
            weights_hash(self.autoencoder, self.autoencoder_node),
            {name: weights_hash(part, nodes[name]) for name, part in frozen.items()},
        )

    def name_encoders(self) -> Named:
        """The encoders that checkpoints name instead of holding them; their hashes, once."""
        if self.named_encoders is None:
            self.named_encoders = named(self.autoencoder, self.conditions, self.hparams)
        return self.named_encoders

    def encoders_held(self) -> dict[str, Any]:
        """What a checkpoint says of the encoders besides their weights."""
        encoders = self.name_encoders()
        in_folder = "autoencoder" in encoders
        return {"named": encoders} | ({} if in_folder else {"autoencoder": self.autoencoder_node})

    def check_encoders(self, checkpoint: Checkpoint) -> None:
        """Once parts are built: refuse other encoders than the checkpoint names.

        Raises:
            ValueError: if one was not built from a folder, or has other weights.
        """
        if held := checkpoint.get("named"):
            check_named(held, self.name_encoders())

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
