"""Videos of fixed prompts while the model learns."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from vidiff.background import Background
from vidiff.checks import at_least, positive
from vidiff.training.diffusion.task import DiffusionTask
from vidiff.training.loggers import ShowGif, viewers
from vidiff.training.sampling.folder import SampleFolder
from vidiff.video import write_video


class SampleVideos(Callback):
    """Samples fixed prompts every few steps and at the end, with the averaged weights.

    Videos go into ``samples/step_…`` of the run folder, and to the loggers that show videos
    (TensorBoard, Weights & Biases). Every process takes part, as weights may be spread over them;
    one writes.

    Args:
        prompts: what to sample.
        every_n_steps: optimizer steps between two sets of samples.
        seed: decides the noise, the same in each set.
        num_steps: steps of the sampler, instead of the task's own.
        guidance_scale: scale of the guidance, instead of the task's own.
        batch_size: prompts at a time.
        fps: frames per second of the files.

    Raises:
        ValueError: if there is no prompt or ``every_n_steps`` is below 1.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        every_n_steps: int = 1000,
        seed: int = 0,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        batch_size: int = 16,
        fps: float = 8,
    ) -> None:
        if not prompts:
            raise ValueError("SampleVideos needs at least one prompt")
        at_least(1, every_n_steps=every_n_steps, num_steps=num_steps, batch_size=batch_size)
        positive(fps=fps)
        self.prompts, self.every_n_steps, self.seed = list(prompts), every_n_steps, seed
        self.num_steps, self.guidance_scale = num_steps, guidance_scale
        self.batch_size, self.fps = batch_size, fps
        self._last_step = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            self.sample(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sample(trainer, pl_module)

    def sample(self, trainer: Trainer, task: LightningModule) -> None:
        """Sample once at the current step; a ``TypeError`` refuses a task that makes no videos."""
        if not isinstance(task, DiffusionTask):
            raise TypeError(f"SampleVideos needs a DiffusionTask, not a {type(task).__name__}")
        if trainer.global_step in (0, self._last_step):
            return
        self._last_step = trainer.global_step
        try:
            with trainer.precision_plugin.forward_context():
                videos = task.sample(
                    self.prompts, seed=self.seed, batch_size=self.batch_size,
                    num_steps=self.num_steps, guidance_scale=self.guidance_scale,
                )  # fmt: skip
        except FloatingPointError as error:  # training itself is watched by its guards
            rank_zero_warn(f"no samples of step {trainer.global_step}: {error}")
            return
        if trainer.is_global_zero:
            self._write(trainer, videos.float().cpu())

    def _write(self, trainer: Trainer, videos: Tensor) -> None:
        name = f"step_{trainer.global_step:08d}"
        _, _, f, h, w = videos.shape
        folder = SampleFolder(
            Path(trainer.default_root_dir, "samples", name), self.prompts,
            seed=self.seed, fps=self.fps, size=(h, w),
            settings={
                "step": trainer.global_step, "num_frames": f, "height": h, "width": w,
                "num_steps": self.num_steps, "guidance_scale": self.guidance_scale,
            },
        )  # fmt: skip
        try:
            missing = folder.claim().missing
        except ValueError as error:  # no reason to stop training
            rank_zero_warn(f"samples of this step are not kept: {error}")
            return
        with Background() as background:
            for index in missing:
                background.submit(functools.partial(folder.write, index, videos[index]))
        folder.finish()
        if shows := viewers(trainer):
            self._show(shows, trainer.global_step, map(folder.enlarged, videos))

    def _show(self, shows: Sequence[ShowGif], step: int, videos: Iterable[Tensor]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            gif = Path(folder, "preview.gif")
            for index, (prompt, video) in enumerate(zip(self.prompts, videos, strict=True)):
                write_video(gif, video, self.fps)
                for show in shows:
                    show(f"samples/{index}", gif, step, prompt)
