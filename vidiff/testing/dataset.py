"""What is checked of the kind ``dataset``."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import torch
from torch import Tensor

from vidiff.data import VideoDataset, collate
from vidiff.types import Sample, VideoSample


def _content(sample: Sample) -> Tensor:
    return sample.pixels if isinstance(sample, VideoSample) else sample.latents


def check(make: Callable[..., VideoDataset]) -> None:
    """Assert what the base class promises."""
    dataset = make(split="train")
    assert len(dataset) > 0
    indices = [0, len(dataset) - 1]
    samples = dataset.__getitems__(indices)
    for sample in samples:
        content = _content(sample)
        assert content.dtype == torch.float32
        assert content.ndim == 4, f"a clip must be (c, f, h, w), got {tuple(content.shape)}"
        if isinstance(sample, VideoSample):
            assert content.shape[0] == 3
            assert content.abs().max() <= 1, "pixels lie in [-1, 1]"
        else:
            assert set(sample.signals) == set(sample.empty), "signals and empty go together"
        assert isinstance(sample.caption, str)
    again = pickle.loads(pickle.dumps(dataset))[0]  # as a worker process gets it
    assert torch.equal(_content(again), _content(samples[0])), (
        "the same index must give the same clip"
    )
    assert again.id == samples[0].id
    assert len(collate(samples)) == len(samples)
    assert isinstance(dataset.fingerprint(), str)
    assert isinstance(dataset.problems(), dict)
    make(split="val"), make(split="test")
