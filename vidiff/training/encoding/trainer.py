"""``vidiff encode``, the method of the trainer."""

from __future__ import annotations

from typing import Literal

from lightning.pytorch import LightningDataModule, LightningModule

from vidiff.checkpoints import CheckpointFile, open_checkpoint
from vidiff.checks import at_least
from vidiff.training.checkpoint_files import WholeCheckpoints
from vidiff.training.data import VideoDataModule
from vidiff.training.diffusion.task import DiffusionTask
from vidiff.training.encoding.data import EncodingData, read_splits
from vidiff.training.encoding.module import Encoding


class EncodingTrainer(WholeCheckpoints):
    """Encodes a dataset into a latent cache."""

    def encode(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        output: str = "latents",
        splits: str = "train,val",
        num_epochs: int = 1,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        batch_size: int | None = None,
        entries_per_shard: int = 256,
        ckpt_path: str | None = None,
        weights_only: bool = True,
        opened: CheckpointFile | None = None,
    ) -> None:
        """Run the autoencoder, and the conditions that are frozen, once over a dataset.

        The folder gets latents and signals in shards, and ``index.json``; the dataset
        ``latent_cache`` trains from it. A call that was cut off goes on where it stopped, and
        further splits can be added later.

        Args:
            output: folder to write into; new, or of the same call.
            splits: some of train, val and test, with commas between.
            num_epochs: epochs of the training split to encode, where each draws starts or crops
                anew.
            dtype: what is stored; half the bytes for a little noise.
            batch_size: clips encoded at once; by default as in validation.
            entries_per_shard: clips in one file. A process holds that many latents in memory.
            ckpt_path: a checkpoint of the task, whose encoders are used.
            weights_only: not used: nothing but tensors and plain values is ever read.

        Raises:
            ValueError: if the task is no diffusion task, an option is wrong, the clips do not fit
                the autoencoder, or the folder holds something else.
        """
        if not isinstance(model, DiffusionTask) or not isinstance(datamodule, VideoDataModule):
            raise ValueError(
                f"encoding needs a DiffusionTask and its data, not a {type(model).__name__}: the "
                "autoencoder of an AutoencoderTask's run is {class_path: trained, init_args: "
                "{checkpoint: …}} in a DiffusionTask"
            )
        batch_size = datamodule.val_batch_size if batch_size is None else batch_size
        at_least(1, num_epochs=num_epochs, batch_size=batch_size)
        at_least(1, entries_per_shard=entries_per_shard)
        if ckpt_path and opened is None:
            opened = open_checkpoint(ckpt_path)
        encoding = Encoding(model, opened.whole if opened else None)
        data = EncodingData(
            datamodule, encoding, output, splits=read_splits(splits), num_epochs=num_epochs,
            dtype=dtype, batch_size=batch_size, entries_per_shard=entries_per_shard,
        )  # fmt: skip
        self.predict(encoding, datamodule=data, return_predictions=False)
