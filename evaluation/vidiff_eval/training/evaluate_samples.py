"""Evaluation of samples while a model learns; importing this imports Lightning.

In a config::

    trainer:
      callbacks:
        - class_path: vidiff_eval.training.EvaluateSamples
          init_args:
            metrics: [fvd, prompt_accuracy]
            num_videos: 256
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from vidiff.data.base import MakeDataset, collate
from vidiff.data.order import dealt
from vidiff.evaluation_report import Group, Score
from vidiff.files import write_json
from vidiff.schema import plain
from vidiff.types import LatentSample
from vidiff_eval.commands.tables import table
from vidiff_eval.extraction.processes import all_or_none, gather, share
from vidiff_eval.judging.metric_group import FoundBy, MetricGroup, join
from vidiff_eval.metrics.base import VideoMetric
from vidiff_eval.protocols.presets import get_protocol
from vidiff_eval.training.reference_clips import Reference, ReferenceClips

FOLDER = "evaluations"
FORMAT = "vidiff evaluation of samples 2"


class EvaluateSamples(Callback):
    """Samples held-out captions at the end of validation and test, and measures the videos.

    The averaged weights sample, one video for each of the first captions of the split, with the
    same noise each time; metrics compare the videos with the real clips of these captions, or judge
    them by themselves. Scores are logged as ``val/…`` or ``test/…``, so that a checkpoint can be
    kept for the best one (``monitor: val/fvd``), and stand with their intervals in
    ``evaluations/step_….json`` of the run folder, or ``validate.json`` or ``test.json``.

    Everything is shared among the processes, and the scores are the same for any number of them.
    Training goes on as if nothing had been sampled. What is measured are the model's own pixels:
    ``vidiff evaluate`` measures them as a file's compression left them.

    Args:
        metrics: what is measured, by names: [fvd, prompt_accuracy].
        num_videos: how many captions, and how many real clips. Set distances depend on it, so
            scores of different numbers cannot be compared.
        every_n_validations: validations of a fit from one evaluation to the next; the last one's
            scores stand meanwhile for what monitors them.
        prompts: to be sampled instead of captions.
        dataset: whose clips and captions are taken, instead of the run's own: the source of a
            latent cache, which has no pixels.
        protocol: what metrics and their networks follow, by its name, such as stylegan_v; the clips
            are the dataset's.
        seed: decides the noise.
        num_steps: steps of the sampler, instead of the task's own.
        guidance_scale: scale of the guidance, instead of the task's own.
        batch_size: videos that are made or measured at once.
        exact: sample without mixed precision, as ``vidiff sample`` does.

    Raises:
        ValueError: if a number is out of its range, or the metrics do not go together.
    """

    def __init__(
        self,
        metrics: list[VideoMetric],
        num_videos: int = 64,
        every_n_validations: int = 1,
        prompts: list[str] | None = None,
        dataset: MakeDataset | None = None,
        protocol: str = "vidiff",
        seed: int = 0,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        batch_size: int = 8,
        exact: bool = True,
    ) -> None:
        for name, value in {
            "num_videos": num_videos,
            "every_n_validations": every_n_validations,
            "batch_size": batch_size,
            "num_steps": num_steps,
        }.items():
            if value is not None and value < 1:
                raise ValueError(f"EvaluateSamples: {name} must be at least 1, got {value}")
        if prompts is not None and not prompts:
            raise ValueError("EvaluateSamples: prompts are empty; leave them out to take captions")
        self.metrics, self.protocol = metrics, get_protocol(protocol)
        self.num_videos, self.every_n_validations = num_videos, every_n_validations
        self.prompts, self.make_dataset = prompts, dataset
        self.seed, self.num_steps, self.guidance_scale = seed, num_steps, guidance_scale
        self.batch_size, self.exact = batch_size, exact
        self.num_validations = 0
        self._metrics: MetricGroup | None = None
        self._reference: Reference | None = None

    # -- Lightning's hooks ------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take captions, and what the metrics need of real clips; refuse what cannot be measured.

        Raises:
            TypeError: if the task makes no videos.
            ValueError: if a metric cannot measure them; says which and why.
        """
        if stage not in ("fit", "validate", "test"):
            return
        if not callable(getattr(pl_module, "sample", None)):
            name = type(pl_module).__name__
            raise TypeError(f"EvaluateSamples needs a task that makes videos, and {name} does not")
        with _apart(), all_or_none():
            self._metrics = self._metrics or MetricGroup.of_samples(self.metrics, self.protocol)
            clips = self._clips(trainer, "test" if stage == "test" else "val")
        with _apart():
            self._reference = self._take(clips, trainer.strategy.root_device)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        if trainer.state.fn != "fit":
            self.evaluate(trainer, pl_module, "val")
            return
        self.num_validations += 1
        if self.num_validations % self.every_n_validations == 0:
            self.evaluate(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluate(trainer, pl_module, "test")

    def logged(self) -> list[str]:
        """Names of the values that validation logs: all scores of all metrics."""
        return [f"val/{score}" for metric in self.metrics for score in metric.scores]

    def state_dict(self) -> dict[str, Any]:
        return {"num_validations": self.num_validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.num_validations = state_dict["num_validations"]

    # -- Evaluation -------------------------------------------------------------------------------

    def evaluate(
        self, trainer: Trainer, task: LightningModule, split: Literal["val", "test"]
    ) -> dict[str, list[Score]]:
        """Sample, measure, log and write; every process has to call this.

        Returns:
            The scores of each metric, on all processes.
        """
        metrics, reference = self._metrics, self._reference
        assert metrics is not None, "setup comes first"
        assert reference is not None
        with _apart(), _on(metrics, task.device):
            parts = [
                (indices, metrics.extract(self._sample(trainer, task, indices)))
                for indices in self._shares(trainer, len(reference.prompts))
            ]
            found = join(parts)
            scores: dict[str, list[Score]] = {}
            with all_or_none():
                if trainer.is_global_zero:  # one, as intervals by resampling take their time
                    measured = metrics.measure(reference.of(found), reference.real)
                    scores = {name: one.scores for name, one in measured.items()}
                    self._write(trainer, split, scores)
            scores = gather(scores)[0]
        values = {f"{split}/{one.name}": one.value for some in scores.values() for one in some}
        task.log_dict(values, sync_dist=True, batch_size=1)
        return scores

    def _sample(self, trainer: Trainer, task: Any, indices: Sequence[int]) -> Tensor:
        """The videos (b, 3, f, h, w) of some of the prompts."""
        assert self._reference is not None
        f, h, w = self._reference.size or (None, None, None)
        precision = trainer.precision_plugin.forward_context()
        mixed = torch.autocast(task.device.type, enabled=False) if self.exact else nullcontext()
        with precision, mixed:
            videos: Tensor = task.sample(
                [self._reference.prompts[i] for i in indices], indices=list(indices),
                seed=self.seed, num_frames=f, height=h, width=w, num_steps=self.num_steps,
                guidance_scale=self.guidance_scale,
            )  # fmt: skip
        return videos.float()

    def _shares(self, trainer: Trainer, total: int) -> list[range]:
        """The batches of this process: of the same prompts for any number of processes."""
        place = trainer.distributed_sampler_kwargs or {"rank": 0, "num_replicas": 1}
        batches = _batches(total, self.batch_size)
        mine = dealt(len(batches), place["rank"], place["num_replicas"])
        return [batches[number] for number in mine]

    def _write(self, trainer: Trainer, split: str, scores: dict[str, list[Score]]) -> None:
        assert self._metrics is not None
        assert self._reference is not None
        assert trainer.state.fn is not None
        prompts, num_real = self._reference.prompts, self._reference.num_real
        name = trainer.state.fn.value
        if name == "fit":
            name = f"step_{trainer.global_step:08d}"
        group, described = Group(len(prompts), scores=scores), self._metrics.describe()
        report = {
            "format": FORMAT,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "step": trainer.global_step,
            "split": split,
            "protocol": self.protocol.name,  # what metrics take from it is among their settings
            "sampling": {
                "seed": self.seed, "num_steps": self.num_steps, "exact": self.exact,
                "guidance_scale": self.guidance_scale, "size": self._reference.size,
                "trained_in": str(trainer.precision),
            },
            "real": {"num_clips": num_real} if num_real else None,
            "groups": {"samples": {"num_clips": group.num_clips, "scores": plain(scores)}},
            "metrics": plain(described),
            "prompts": prompts,
        }  # fmt: skip
        path = Path(trainer.default_root_dir, FOLDER, f"{name}.json")
        write_json(path, report)
        if trainer.state.fn != "fit":
            print(table({"samples": group}, described), f"written: {path}", sep="\n")

    # -- Real clips -------------------------------------------------------------------------------

    def _clips(self, trainer: Trainer, split: Literal["val", "test"]) -> ReferenceClips | None:
        """The dataset's clips, where they or their captions are needed."""
        assert self._metrics is not None
        needs_real = self._metrics.needs_real
        if self.prompts is not None and not needs_real:
            return None
        data: Any = getattr(trainer, "datamodule", None)
        if self.make_dataset is not None:
            dataset = self.make_dataset(split=split)
        elif callable(getattr(data, "dataset", None)):
            dataset = data.dataset(split)
        else:
            raise ValueError(
                "EvaluateSamples finds no dataset to take captions or real clips from: set its "
                "dataset"
            )
        clips = ReferenceClips(dataset, min(self.num_videos, len(dataset)))
        if clips.count < self.num_videos:
            raise ValueError(
                f"EvaluateSamples takes {self.num_videos} clips, and the dataset has "
                f"{clips.count} for {split}: set num_videos to {clips.count} or less"
            )
        if needs_real and isinstance(clips.first, LatentSample):
            real = [name for name, metric in self._metrics.metrics.items() if metric.needs_real]
            raise ValueError(
                f"{real[0]} compares with real clips, and {type(dataset).__name__} has latents "
                "alone: set the dataset of EvaluateSamples to one of pixels, or leave it out"
            )
        return clips

    def _take(self, clips: ReferenceClips | None, device: torch.device) -> Reference:
        """The prompts, and what is found of the real clips; every process has to call this."""
        assert self._metrics is not None
        metrics, prompts = self._metrics, self.prompts or []
        size = clips.size if clips is not None else None
        num_real = clips.count if clips is not None and metrics.needs_real else 0
        num_samples = len(prompts) or self.num_videos
        metrics.check(size[0] if size else None, num_samples, num_real)
        captions: dict[int, str] = {}
        parts: list[tuple[Sequence[int], FoundBy]] = []
        if clips is not None:
            with all_or_none(), _on(metrics, device):
                for indices in share(_batches(clips.count, self.batch_size)):
                    some = clips.read(indices)
                    captions |= {i: clip.caption for i, clip in zip(indices, some, strict=True)}
                    if metrics.needs_real:
                        batch: Any = collate(some)
                        parts.append((indices, metrics.extract(batch.pixels.to(device))))
            if self.prompts is None:
                every = {i: text for some in gather(captions) for i, text in some.items()}
                prompts = [every[i] for i in range(clips.count)]
        found = join(parts) if metrics.needs_real else None
        metrics.check_prompts(prompts)
        return Reference(prompts, size, num_real, found)


def _batches(total: int, size: int) -> list[range]:
    return [range(start, min(start + size, total)) for start in range(0, total, size)]


@contextmanager
def _apart() -> Iterator[None]:
    """Work that training must not notice: random numbers go on from where they stood."""
    # What is made in inference mode could not be used by what trains.
    with isolate_rng(), torch.inference_mode(False), torch.no_grad():
        yield


@contextmanager
def _on(metrics: MetricGroup, device: torch.device) -> Iterator[None]:
    """Networks on ``device`` for a while; training needs its memory again."""
    metrics.to(device)
    try:
        yield
    finally:
        metrics.to("cpu")
