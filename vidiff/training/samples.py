"""A folder of generated videos: an mp4 and a gif a prompt, a contact sheet, ``samples.jsonl``."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from vidiff.files import write_text
from vidiff.training.diffusion import DiffusionTask, PromptBatch
from vidiff.video import contact_sheet, read_clip, write_video

PLAN = "sampling.json"
SAMPLES = "samples.jsonl"
SHORT_SIDE = 256
"""Small videos are enlarged to about this many pixels, or H.264 would blur their colours."""


class SampleFolder:
    """Videos of one list of prompts, made with one seed and one set of settings.

    Args:
        path: the folder.
        prompts: all prompts.
        seed: which, with a prompt's index, decides its noise.
        fps: frames per second of the files.
        size: height and width of the videos, in pixels.
        settings: what else the videos were made with; kept beside them.
        scale: how much larger the files are, each pixel repeated; chosen by size where None.
    """

    def __init__(
        self,
        path: str | Path,
        prompts: Sequence[str],
        *,
        seed: int,
        fps: float,
        size: tuple[int, int],
        settings: dict[str, Any],
        scale: int | None = None,
    ) -> None:
        self.path, self.prompts, self.seed, self.fps = Path(path), list(prompts), seed, fps
        self.scale = scale or max(1, math.ceil(SHORT_SIDE / min(size)))
        self.settings = settings | {"fps": fps, "scale": self.scale}

    def claim(self) -> list[int]:
        """Make the folder, or find the same samples begun in it: indices that are still missing.

        Raises:
            ValueError: if the folder holds anything else.
        """
        plan = {"prompts": self.prompts, "seed": self.seed, "settings": self.settings}
        known = self.path / PLAN
        names = {path.name for path in self.path.glob("[!.]*")}
        begun = any(name.endswith(".mp4") for name in names)  # a call may fail before its first
        if known.exists() and begun:
            if json.loads(known.read_text(encoding="utf-8")) != json.loads(json.dumps(plan)):
                raise ValueError(
                    f"{self.path} holds samples made with other prompts, seed, settings or "
                    "weights: choose another --output, or remove that folder"
                )
        elif names - {PLAN}:
            raise ValueError(
                f"{self.path} is not empty and holds no samples: choose another folder"
            )
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(known, json.dumps(plan, indent=1) + "\n")
        done = {index for index in range(len(self.prompts)) if self._gif(index).exists()}
        return [index for index in range(len(self.prompts)) if index not in done]

    def write(self, index: int, pixels: Tensor) -> None:
        """Write the video (3, f, h, w) of one prompt; the gif comes last and marks it as done."""
        large = pixels.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)
        for path in (self._mp4(index), self._gif(index)):
            write_video(path, large, self.fps)

    def finish(self, num_shown: int = 12) -> None:
        """Write the contact sheet of the first videos, and the list of all."""
        shown = range(min(num_shown, len(self.prompts)))
        frames = self.settings["num_frames"]
        contact_sheet(
            self.path / "contact_sheet.png",
            [read_clip(self._mp4(index), num_frames=frames) for index in shown],
            [self.prompts[index] for index in shown],
        )
        lines = [json.dumps(self.record(index)) for index in range(len(self.prompts))]
        write_text(self.path / SAMPLES, "\n".join(lines) + "\n")

    def record(self, index: int) -> dict[str, Any]:
        """The line of ``samples.jsonl`` for one prompt."""
        return {
            "prompt": self.prompts[index],
            "seed": self.seed,
            "index": index,
            "file": self._mp4(index).name,
            "gif": self._gif(index).name,
            "settings": self.settings,
        }

    def _mp4(self, index: int) -> Path:
        words = re.sub(r"[^a-z0-9]+", "-", self.prompts[index].lower())[:48].strip("-")
        return self.path / f"{index:05d}{'-' if words else ''}{words}.mp4"

    def _gif(self, index: int) -> Path:
        return self._mp4(index).with_suffix(".gif")


class PromptData(LightningDataModule):
    """The missing prompts of a folder, dealt to the processes.

    All processes get equally many batches, or one that shards the model would wait for the others;
    for that some make a video that another one makes as well.
    """

    def __init__(
        self, folder: SampleFolder, batch_size: int, settings: dict[str, Any], exact: bool = True
    ) -> None:
        super().__init__()
        self.folder, self.batch_size = folder, batch_size
        self.settings, self.exact = settings, exact
        self.missing: list[int] = []

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        answer: list[int] | ValueError = []
        if self.trainer.is_global_zero:
            try:
                answer = self.folder.claim()
            except ValueError as error:
                answer = error
        answer = self.trainer.strategy.broadcast(answer)
        if isinstance(answer, ValueError):
            raise answer
        self.missing = answer

    def predict_dataloader(self) -> PromptBatches:
        assert self.trainer is not None
        place = self.trainer.distributed_sampler_kwargs or {"rank": 0, "num_replicas": 1}
        starts = range(0, len(self.missing), self.batch_size)
        batches = [self._batch(self.missing[i : i + self.batch_size]) for i in starts]
        rank, world_size = place["rank"], place["num_replicas"]
        num_steps = -(-len(batches) // world_size)
        mine = [(step * world_size + rank) % len(batches) for step in range(num_steps)]
        return PromptBatches([batches[i] for i in mine])

    def _batch(self, indices: list[int]) -> PromptBatch:
        prompts = [self.folder.prompts[i] for i in indices]
        return PromptBatch(prompts, indices, self.settings, self.exact)


class PromptBatches:
    """Batches of one process; no ``DataLoader``, which Lightning would deal out once more."""

    def __init__(self, batches: list[PromptBatch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[PromptBatch]:
        return iter(self.batches)


class WriteSamples(Callback):
    """Writes each batch as soon as it is there, and the list when all are."""

    def __init__(self, folder: SampleFolder) -> None:
        self.folder = folder

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, DiffusionTask)
        if unknown := pl_module.unknown_words(self.folder.prompts):
            rank_zero_warn(f"words that training never met: {', '.join(unknown)}")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: PromptBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        for index, pixels in zip(batch.indices, outputs, strict=True):
            self.folder.write(index, pixels.float().cpu())

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            self.folder.finish()


def read_prompts(prompts: str) -> list[str]:
    """Prompts of a ``.txt`` file, one a line, of a ``.jsonl`` file, or apart by semicolons.

    Raises:
        ValueError: if there is no such file or no prompt.
    """
    path = Path(prompts) if len(prompts) < 1024 else None
    if path is not None and path.suffix in (".txt", ".jsonl"):
        if not path.is_file():
            raise ValueError(f"file of prompts {path} does not exist")
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        found = [line for line in lines if line]
        if path.suffix == ".jsonl":
            found = [_prompt_of(path, line) for line in found]
    else:
        found = [part.strip() for part in prompts.split(";") if part.strip()]
    if not found:
        raise ValueError(f"no prompt in {prompts!r}: give a .txt or .jsonl file, or 'text;text'")
    return found


def fingerprint(checkpoint: str | Path) -> str:
    """The SHA-256 of a checkpoint file; of the index, for the folder of a sharded one."""
    path = Path(checkpoint)
    with (path / ".metadata" if path.is_dir() else path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prompt_of(path: Path, line: str) -> str:
    try:
        entry = json.loads(line)
        return str(entry["prompt"] if "prompt" in entry else entry["caption"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: each line needs a JSON object with a prompt: {line}") from error
