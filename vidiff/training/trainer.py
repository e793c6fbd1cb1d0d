"""Lightning's trainer, with vidiff's default callbacks."""

from __future__ import annotations

import warnings
from typing import Any, Literal, cast

from lightning.fabric.connector import _PRECISION_INPUT
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.plugins.precision import Precision

from vidiff.precision import AUTO, choose, device_of
from vidiff.training.callbacks import KeepPrecision, add_defaults
from vidiff.training.callbacks.precision import MatmulPrecision
from vidiff.training.checkpoint_files import CheckpointFiles
from vidiff.training.encoding.trainer import EncodingTrainer
from vidiff.training.sampling.trainer import SamplingTrainer
from vidiff.training.starting import Start
from vidiff.training.task import Task

# Averages and frozen parts are meant to be in evaluation mode; the second is between libraries.
warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
# Steps are counted over epochs, and StepLog chooses an interval that fits.
warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")


class VidiffTrainer(SamplingTrainer, EncodingTrainer):
    """Trains, validates and samples tasks, and encodes datasets for them.

    Everything that Lightning's ``Trainer`` takes; a progress bar that knows when training ends,
    checkpoints and ``run.json`` come without being asked for.

    Args:
        precision: as Lightning calls it; ``auto`` is bf16-mixed where the device is fast in bf16,
            and 32-true elsewhere.
        matmul_precision: of products of float32 matrices, for
            ``torch.set_float32_matmul_precision``; ``auto`` is ``high`` (TF32) in the steps of
            training on GPUs that have it, and ``highest`` elsewhere.
    """

    def __init__(
        self,
        *,
        precision: _PRECISION_INPUT | Literal["auto"] | None = AUTO,
        matmul_precision: MatmulPrecision = "auto",
        **kwargs: Any,
    ) -> None:
        choice = asked = None
        if precision != AUTO:
            asked = None if precision is None else str(precision)
        elif not _brings_precision(kwargs):
            choice = choose(device_of(kwargs.get("accelerator", "auto")))
        self.keep_precision = KeepPrecision(choice, asked, matmul_precision)
        add_defaults(kwargs)
        self.chooses_log_interval = kwargs.get("log_every_n_steps") is None
        # First, as what others do between two steps is not to be in TF32.
        kwargs["callbacks"] = [self.keep_precision, *kwargs["callbacks"]]
        super().__init__(
            precision=cast(_PRECISION_INPUT, choice.precision if choice else asked), **kwargs
        )
        if type(self.strategy.checkpoint_io) is TorchCheckpointIO:
            self.strategy.checkpoint_io = CheckpointFiles()

    def fit(  # type: ignore[override]
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
        init_from: str | None = None,
        init_include: list[str] | None = None,
        init_exclude: list[str] | None = None,
    ) -> None:
        """Train a task, from the beginning, from a checkpoint, or from weights alone.

        Args:
            ckpt_path: a checkpoint to go on with; ``init_from`` no longer counts then.
            weights_only: read nothing from the checkpoint but tensors and plain values.
            init_from: a checkpoint whose weights a new run begins from; what does not fit stays as
                it is built, and is said.
            init_include: parts, modules or patterns of names to take (denoiser,
                'conditions.text.words.*'); all that is trained, by default.
            init_exclude: parts, modules or patterns of names to leave as they are built.

        Raises:
            ValueError: if the weights cannot be read, or none of them fits.
        """
        if init_from is None and (init_include or init_exclude):
            raise ValueError("init_include and init_exclude say what init_from takes: give that")
        if init_from is not None and ckpt_path is None:
            if not isinstance(model, Task):
                raise ValueError(f"init_from needs a vidiff task, not a {type(model).__name__}")
            model.start = Start(init_from, init_include or (), init_exclude or ())
        super().fit(model, train_dataloaders, val_dataloaders, datamodule, ckpt_path, weights_only)


def _brings_precision(arguments: dict[str, Any]) -> bool:
    """Whether a plugin or a strategy that is given decides the precision."""
    plugins = arguments.get("plugins") or []
    plugins = plugins if isinstance(plugins, (list, tuple)) else [plugins]
    strategy = getattr(arguments.get("strategy"), "_precision_plugin", None)
    return strategy is not None or any(isinstance(plugin, Precision) for plugin in plugins)
