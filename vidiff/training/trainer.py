"""Lightning's trainer, with vidiff's default callbacks and commands that sample and encode."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Literal, cast, get_args

from lightning.fabric.connector import _PRECISION_INPUT
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.plugins.precision import Precision

from vidiff.background import Background
from vidiff.captions import read_prompts
from vidiff.checkpoints import CheckpointFile, open_checkpoint, trained_in
from vidiff.checks import at_least, positive
from vidiff.data import Split
from vidiff.generation import Sampling
from vidiff.precision import AUTO, choose, device_of
from vidiff.training.callbacks import KeepPrecision, add_defaults
from vidiff.training.callbacks.precision import MatmulPrecision
from vidiff.training.checkpoint_files import CheckpointFiles, WholeCheckpoints
from vidiff.training.data import VideoDataModule
from vidiff.training.diffusion.task import DiffusionTask
from vidiff.training.encoding.jobs import Encoding, EncodingData
from vidiff.training.sampling.folder import (
    PromptData,
    SampleFolder,
    WriteSamples,
    for_each,
    image_hashes,
    read_formats,
    read_images,
)
from vidiff.training.starting import Start
from vidiff.training.task import Task

# Averages and frozen parts are meant to be in evaluation mode; the second is between libraries.
warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
# Steps are counted over epochs, and StepLog chooses an interval that fits.
warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")


class VidiffTrainer(WholeCheckpoints):
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

    def sample(
        self,
        model: LightningModule,
        datamodule: LightningDataModule | None = None,
        prompts: str = "",
        output: str = "samples",
        seed: int = 0,
        ckpt_path: str | None = None,
        weights_only: bool = True,
        batch_size: int = 16,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | None = None,
        image: str | None = None,
        inputs: dict[str, Any] | None = None,
        decode_tile: int | None = None,
        decode_frames: int | None = None,
        fps: float = 8,
        scale: int | None = None,
        formats: str = "mp4",
        exact: bool = True,
        opened: CheckpointFile | None = None,
    ) -> None:
        """Make a video for each prompt and write them into a folder.

        The folder gets a video file for each prompt, ``contact_sheet.png`` and ``samples.jsonl``.
        Files are written while the next videos are sampled. A call that was cut off goes on where
        it stopped.

        Args:
            prompts: 'text;text', a .txt file with a prompt a line, or a .csv or .jsonl table with
                a column caption or prompt.
            output: folder to write into; new, or of the same call.
            seed: with a prompt's place in the list, decides its video.
            ckpt_path: the weights to sample with.
            weights_only: read nothing from the checkpoint but tensors and plain values.
            batch_size: videos made at once.
            num_frames: frames of a video; those of the training clips, by default.
            height: in pixels; that of the training clips, by default.
            width: in pixels; that of the training clips, by default.
            num_steps: steps of the sampler, instead of the config's.
            guidance_scale: scale of the guidance, instead of the config's.
            negative_prompt: what videos move away from, instead of the empty prompt.
            image: a picture that all videos begin with, or 'FILE;FILE' for one per prompt; scaled
                and cropped to their size. Needs a model with a condition ``frames``.
            inputs: what else the model's conditions read, by name, the same for all videos, as in
                '{label: 3}'.
            decode_tile: height and width, in latents, of tiles that are decoded one after the other
                and blended, so that memory does not grow with the frame.
            decode_frames: frames of latents decoded at a time, so that memory does not grow with
                the length; for autoencoders that can carry on where a chunk ends.
            fps: frames per second of the files.
            scale: factor by which the files are enlarged, each pixel repeated; by default such
                that the shorter side has about 256 pixels.
            formats: of each video's files, with commas between: mp4, webm, gif.
            exact: leave mixed precision off, so that the same seed gives the same video whatever
                the batch size; without it sampling may be faster, and differ by a few grey levels.

        Raises:
            ValueError: if there is no checkpoint or prompt, prompts look like a path and there is
                no such file, a number is out of its range, a format is unknown, the size does not
                fit the model, or the folder holds something else.
            FloatingPointError: if videos turn NaN or infinite; none of their files is written.
        """
        sampling = Sampling.picked(locals())
        if not isinstance(model, DiffusionTask):
            raise ValueError(f"only a DiffusionTask makes videos, not a {type(model).__name__}")
        if ckpt_path is None:
            raise ValueError("sampling needs trained weights: give --ckpt_path")
        positive(fps=fps)
        at_least(1, batch_size=batch_size, scale=scale)
        texts, endings = read_prompts(prompts), read_formats(formats)
        opened = opened or open_checkpoint(ckpt_path)
        model.on_load_checkpoint(opened.head)
        model.encoders.adopt(opened.head)
        sampling = sampling.sized(model.clip_size)
        _, h, w = sampling.size
        known = for_each(inputs or {}, len(texts))
        if image:
            known["image"] = read_images(image, len(texts), (h, w))
        is_single = exact and str(self.precision).endswith("mixed")
        folder = SampleFolder(
            output, texts, seed=seed, fps=fps, size=(h, w), scale=scale, formats=endings,
            settings={
                **asdict(sampling),
                **({"images": image_hashes(image)} if image else {}),
                **({"inputs": inputs} if inputs else {}),
                "sampler": model.hparams["sampler"],
                "guidance": model.hparams["guidance"],
                "checkpoint": opened.path.name,
                "checkpoint_sha256": opened.sha256,
                "step": opened.head["global_step"],
                "exact": exact,
                "trained_in": trained_in(opened.head),
                "precision": "32-true" if is_single else str(self.precision),
            },
        )  # fmt: skip
        data = PromptData(folder, batch_size, sampling, exact, known)
        self.callbacks: list[Callback]
        self.keep_precision.quiet = is_single
        with self.holding(opened), Background() as background:
            writer = WriteSamples(folder, background)
            self.callbacks.append(writer)
            try:
                self.predict(
                    model, datamodule=data, return_predictions=False,
                    ckpt_path=str(opened.path), weights_only=weights_only,
                )  # fmt: skip
            except FloatingPointError:
                if self.is_global_zero:
                    folder.leave()
                raise
            finally:
                self.callbacks.remove(writer)

    @contextmanager
    def holding(self, opened: CheckpointFile) -> Iterator[None]:
        """Let Lightning have a checkpoint that is open, but not of shards, instead of reading."""
        io = self.strategy.checkpoint_io
        if isinstance(io, CheckpointFiles):
            io.opened = opened
        try:
            yield
        finally:
            if isinstance(io, CheckpointFiles):
                io.opened = None

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


def _brings_precision(arguments: dict[str, Any]) -> bool:
    """Whether a plugin or a strategy that is given decides the precision."""
    plugins = arguments.get("plugins") or []
    plugins = plugins if isinstance(plugins, (list, tuple)) else [plugins]
    strategy = getattr(arguments.get("strategy"), "_precision_plugin", None)
    return strategy is not None or any(isinstance(plugin, Precision) for plugin in plugins)


def read_splits(splits: str) -> list[Split]:
    """Splits that commas separate, each once; ``ValueError`` if one is unknown."""
    names = dict.fromkeys(name.strip() for name in splits.split(","))
    found: list[Split] = [split for split in get_args(Split) if split in names]
    if len(found) != len(names):
        raise ValueError(f"splits must be some of train, val and test, got {splits!r}")
    return found
