"""Videos of prompts: what else they are conditioned on, and the folder that they come into."""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from vidiff.background import Background
from vidiff.checks import at_least
from vidiff.files import write_text
from vidiff.fingerprints import file_hash
from vidiff.generation import Sampling
from vidiff.training.processes import from_first, share_of_data
from vidiff.video import ENDINGS, contact_sheet, read_clip, sheet_row, write_video

PLAN = "sampling.json"
SAMPLES = "samples.jsonl"
SHORT_SIDE = 256
"""Small videos are enlarged to about this many pixels, or H.264 would blur their colours."""
SHOWN = 12
"""Videos on the contact sheet, the first."""


class SampleFolder:
    """Videos of one list of prompts, made with one seed and one set of settings.

    Args:
        seed: which, with a prompt's index, decides its noise.
        size: height and width of the videos, in pixels.
        scale: how much larger the files are, each pixel repeated; chosen by size where None.
        formats: endings of each video's files, without the dot: mp4, webm, gif.
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
        formats: Sequence[str] = ("mp4",),
    ) -> None:
        self.path, self.prompts, self.seed, self.fps = Path(path), list(prompts), seed, fps
        at_least(1, scale=scale)
        self.scale = max(1, math.ceil(SHORT_SIDE / min(size))) if scale is None else scale
        self.settings = settings | {"fps": fps, "scale": self.scale}
        self.formats = list(formats)
        self._rows: dict[int, Image.Image] = {}  # of the contact sheet, of videos written here

    def claim(self) -> list[int]:
        """The missing indices, in a new folder or one of the same call, else ``ValueError``."""
        plan = {"prompts": self.prompts, "seed": self.seed, "settings": self.settings}
        known = self.path / PLAN
        names = {path.name for path in self.path.glob("[!.]*")}
        begun = any(name.endswith(ENDINGS) for name in names)  # a call may fail before its first
        if known.exists() and begun:
            if json.loads(known.read_text(encoding="utf-8")) != json.loads(json.dumps(plan)):
                raise ValueError(
                    f"{self.path} holds samples made with other prompts, seed, settings or "
                    "weights: choose another --output, or remove that folder"
                )
        elif names - {PLAN}:
            raise ValueError(f"{self.path} is not empty and holds no samples: choose another one")
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(known, json.dumps(plan, indent=1) + "\n")
        prompts = range(len(self.prompts))
        return [index for index in prompts if not all(p.exists() for p in self.files(index))]

    def leave(self) -> None:
        """Remove the folder if it holds only the plan."""
        if {path.name for path in self.path.glob("*")} == {PLAN}:
            (self.path / PLAN).unlink(missing_ok=True)
            self.path.rmdir()

    def write(self, index: int, pixels: Tensor) -> None:
        """Write the video (3, f, h, w) of one prompt; several threads may, each its own prompts."""
        large = self.enlarged(pixels)
        for path in self.files(index):
            write_video(path, large, self.fps)
        if index < SHOWN:
            self._rows[index] = sheet_row(pixels, self.prompts[index])

    def enlarged(self, pixels: Tensor) -> Tensor:
        """A video (3, f, h, w) as its files show it: each pixel repeated."""
        return pixels.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)

    def finish(self) -> None:
        """Write the contact sheet of the first videos, and the list of all."""
        shown = range(min(SHOWN, len(self.prompts)))
        contact_sheet(self.path / "contact_sheet.png", [self._row(index) for index in shown])
        lines = [json.dumps(self.record(index)) for index in range(len(self.prompts))]
        write_text(self.path / SAMPLES, "\n".join(lines) + "\n")

    def record(self, index: int) -> dict[str, Any]:
        """The line of ``samples.jsonl`` for one prompt."""
        first, *others = self.files(index)
        return {
            "prompt": self.prompts[index],
            "seed": self.seed,
            "index": index,
            "file": first.name,
            **{path.suffix[1:]: path.name for path in others},
            "settings": self.settings,
        }

    def files(self, index: int) -> list[Path]:
        """The files of one prompt's video, one of each format."""
        words = re.sub(r"[^a-z0-9]+", "-", self.prompts[index].lower())[:48].strip("-")
        stem = f"{index:05d}{'-' if words else ''}{words}"
        return [self.path / f"{stem}.{format}" for format in self.formats]

    def _row(self, index: int) -> Image.Image:
        if index not in self._rows:  # an earlier call or another process has written it
            video = read_clip(self.files(index)[0], num_frames=self.settings["num_frames"])
            self._rows[index] = sheet_row(video, self.prompts[index])
        return self._rows[index]


@dataclass
class PromptBatch:
    """Videos to sample together; ``exact`` leaves mixed precision off."""

    prompts: list[str]
    indices: list[int]
    """Places in the whole list, which with the seed decide the noise."""
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    inputs: dict[str, Any] = field(default_factory=dict)
    exact: bool = True

    def __len__(self) -> int:
        return len(self.prompts)


class PromptData(LightningDataModule):
    """The missing prompts of a folder, dealt to the processes, some twice.

    All get equally many batches, as processes that share a sharded model wait for one another.
    """

    def __init__(
        self,
        folder: SampleFolder,
        batch_size: int,
        sampling: Sampling,
        exact: bool = True,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.folder, self.batch_size = folder, batch_size
        self.sampling, self.exact, self.inputs = sampling, exact, inputs or {}
        self.missing: list[int] = []

    def setup(self, stage: str) -> None:
        assert self.trainer is not None
        self.missing = from_first(self.trainer, self.folder.claim)

    def predict_dataloader(self) -> PromptBatches:
        rank, world_size = share_of_data(self.trainer)
        starts = range(0, len(self.missing), self.batch_size)
        batches = [self._batch(self.missing[i : i + self.batch_size]) for i in starts]
        num_steps = -(-len(batches) // world_size)
        mine = [(step * world_size + rank) % len(batches) for step in range(num_steps)]
        return PromptBatches([batches[i] for i in mine])

    def _batch(self, indices: list[int]) -> PromptBatch:
        prompts = [self.folder.prompts[i] for i in indices]
        inputs = {
            name: some[indices] if isinstance(some, Tensor) else [some[i] for i in indices]
            for name, some in self.inputs.items()
        }
        return PromptBatch(prompts, indices, self.folder.seed, self.sampling, inputs, self.exact)


class PromptBatches:
    """Batches of one process; no ``DataLoader``, which Lightning would deal out once more."""

    def __init__(self, batches: list[PromptBatch]) -> None:
        self.batches = batches
        self.num_clips = sum(map(len, batches))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[PromptBatch]:
        return iter(self.batches)


class WriteSamples(Callback):
    """Writes each batch while the next is sampled, and the list when all are there."""

    def __init__(self, folder: SampleFolder, background: Background) -> None:
        self.folder, self.background = folder, background

    def on_predict_start(self, trainer: Trainer, task: Any) -> None:
        with task.averaged() as model:
            unknown = model.unknown_words(self.folder.prompts)
        if unknown:
            rank_zero_warn(f"words that training never met: {', '.join(unknown)}")

    def on_predict_batch_end(
        self, trainer: Trainer, task: LightningModule, outputs: Any, batch: PromptBatch, *args: Any
    ) -> None:
        for index, pixels in zip(batch.indices, outputs.float().cpu(), strict=True):
            self.background.submit(functools.partial(self.folder.write, index, pixels))
        self.background.check()

    def on_predict_end(self, trainer: Trainer, task: LightningModule) -> None:
        self.background.drain()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            self.folder.finish()


def read_formats(formats: str) -> list[str]:
    """Endings of video files that commas separate, each once; ``ValueError`` if one is unknown."""
    found = list(dict.fromkeys(name.strip().lower().lstrip(".") for name in formats.split(",")))
    known = [ending[1:] for ending in ENDINGS]
    if unknown := [name for name in found if name not in known]:
        raise ValueError(f"formats must be some of {', '.join(known)}, got {unknown[0]!r}")
    return found


def for_each(inputs: Mapping[str, Any], num_videos: int) -> dict[str, Any]:
    """Inputs that are the same for all videos, once for each: text, or tensors (b, ...)."""

    def repeated(name: str, value: Any) -> Any:
        if isinstance(value, str):
            return [value] * num_videos
        try:
            tensor = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"--inputs {name}: {value!r} is neither text, a number, nor lists of one length"
            ) from error
        return tensor.expand(num_videos, *tensor.shape)

    return {name: repeated(name, value) for name, value in inputs.items()}


def image_hashes(files: str) -> list[str]:
    """Hashes of the files that semicolons separate."""
    return [file_hash(path) for path in _paths(files)]


def read_images(files: str, num_videos: int, size: tuple[int, int]) -> Tensor:
    """One picture for each video: (b, 3, h, w) in [-1, 1], scaled to cover h x w, and cropped.

    Raises:
        ValueError: if there are neither one nor as many, or one cannot be read.
    """
    paths = _paths(files)
    if len(paths) not in (1, num_videos):
        raise ValueError(
            f"--image has {len(paths)} files for {num_videos} prompts: give one, or one for each"
        )
    pictures = [_read(path, size) for path in paths]
    return torch.stack(pictures * (num_videos if len(paths) == 1 else 1))


def _paths(files: str) -> list[Path]:
    return [Path(name.strip()).expanduser() for name in files.split(";") if name.strip()]


def _read(path: Path, size: tuple[int, int]) -> Tensor:
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
            fitted = ImageOps.fit(upright, size[::-1], Image.Resampling.BICUBIC)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"--image {path} cannot be read as a picture: {error}") from error
    values = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
    return values.view(*size, 3).permute(2, 0, 1) / 127.5 - 1
