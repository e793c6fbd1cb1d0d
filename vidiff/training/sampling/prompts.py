"""Prompts to sample, in batches that are dealt to the processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from vidiff.data.order import dealt
from vidiff.generation import Sampling
from vidiff.training.processes import from_first, share_of_data
from vidiff.training.sampling.folder import SampleFolder


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
    """The missing prompts of a folder, ``dealt`` to the processes."""

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
        claim = from_first(self.trainer, self.folder.claim)
        self.folder.take(claim)
        self.missing = claim.missing

    def predict_dataloader(self) -> PromptBatches:
        rank, world_size = share_of_data(self.trainer)
        starts = range(0, len(self.missing), self.batch_size)
        batches = [self._batch(self.missing[i : i + self.batch_size]) for i in starts]
        return PromptBatches([batches[i] for i in dealt(len(batches), rank, world_size)])

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


def for_each(inputs: Mapping[str, Any], num_videos: int) -> dict[str, Any]:
    """Inputs that are the same for all videos, once for each: text, or tensors (b, ...).

    Raises:
        ValueError: if one is neither text, a number, nor lists of one length.
    """

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
