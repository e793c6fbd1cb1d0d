"""``vidiff sample``, the method of the trainer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule

from vidiff.background import Background
from vidiff.captions import read_prompts
from vidiff.checkpoints import CheckpointFile, open_checkpoint, trained_in
from vidiff.checks import at_least, positive
from vidiff.generation import Sampling
from vidiff.rewriters import MakeRewriter
from vidiff.training.callbacks import KeepPrecision
from vidiff.training.checkpoint_files import WholeCheckpoints
from vidiff.training.diffusion.task import DiffusionTask
from vidiff.training.sampling.folder import SampleFolder, read_formats
from vidiff.training.sampling.images import image_hashes, read_images
from vidiff.training.sampling.prompts import PromptData, for_each
from vidiff.training.sampling.writer import WriteSamples


class SamplingTrainer(WholeCheckpoints):
    """Samples videos of prompts into a folder."""

    keep_precision: KeepPrecision
    callbacks: list[Callback]

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
        rewriter: MakeRewriter | None = None,
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
            rewriter: what rewrites the prompts before they are sampled (template, chat, local);
                samples.jsonl has the original of each. Files are named after the originals.
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
                fit the model, the folder holds something else, or the rewriter can rewrite
                nothing.
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
            rewriter=rewriter,
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
