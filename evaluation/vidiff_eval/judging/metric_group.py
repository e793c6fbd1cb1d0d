"""Several metrics that measure the same clips, files or tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vidiff.evaluation_report import MetricInfo, NoiseFloor
from vidiff.registry import get_kind
from vidiff_eval.extraction.failing import Reasons, noting
from vidiff_eval.extraction.feature_table import FeatureTable
from vidiff_eval.extraction.processes import gather
from vidiff_eval.metrics.base import Measured, VideoMetric
from vidiff_eval.protocols.protocol import fingerprint

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vidiff_eval.features.base import Features, Found
    from vidiff_eval.protocols.protocol import Protocol

FoundBy = dict[str, "Found"]
"""Features of clips, by the fingerprint of their settings."""


class MetricGroup:
    """Metrics that measure the same clips; features that several of them compare are taken once.

    Args:
        metrics: by name.
    """

    def __init__(self, metrics: Mapping[str, VideoMetric]) -> None:
        self.metrics = dict(metrics)

    @classmethod
    def of_samples(cls, metrics: Sequence[VideoMetric], protocol: Protocol) -> MetricGroup:
        """Metrics of tensors, which have no files; they follow the protocol from now on.

        Raises:
            ValueError: if there is none, one compares pairs, two report a score of the same name,
                or something that one needs is missing.
        """
        if not metrics:
            raise ValueError("metrics are empty: name at least one, such as [fvd]")
        named = _named(metrics)
        for name, metric in named.items():
            try:
                metric.follow(protocol)
                _ = metric.settings
            except ValueError as error:
                raise ValueError(f"{name} cannot be measured: {error}") from error
        return cls(named)

    @property
    def features(self) -> dict[str, Features]:
        """The features of all metrics, each once, by the fingerprint of their settings."""
        taken = (features for metric in self.metrics.values() for features in metric.taken)
        return {fingerprint(one.settings): one for one in taken}

    @property
    def needs_real(self) -> bool:
        """Whether a metric compares with real clips."""
        return any(metric.needs_real for metric in self.metrics.values())

    @property
    def of_pairs(self) -> MetricGroup:
        """The metrics that judge a clip with its partner, from the pixels of both."""
        return self.only([name for name, metric in self.metrics.items() if metric.kind == "pairs"])

    def by_features(self) -> Iterator[MetricGroup]:
        """Groups of metrics that compare the same features."""
        groups: dict[str, dict[str, VideoMetric]] = {}
        for name, metric in self.metrics.items():
            key = fingerprint([features.settings for features in metric.taken])
            groups.setdefault(key, {})[name] = metric
        yield from map(MetricGroup, groups.values())

    def only(self, names: Sequence[str]) -> MetricGroup:
        """The metrics of some names."""
        return MetricGroup({name: self.metrics[name] for name in self.metrics if name in names})

    def check(self, num_frames: int | None, num_samples: int, num_real: int) -> None:
        """Refuse numbers of frames (None is not known), samples and real clips that are too low.

        Raises:
            ValueError: which metric cannot measure them, and why.
        """
        for name, metric in self.metrics.items():
            if num_frames is not None and num_frames < metric.min_frames:
                raise ValueError(
                    f"{name} needs clips of at least {metric.min_frames} frames, and these have "
                    f"{num_frames}: set the dataset's num_frames, or leave it out"
                )
            if (
                min(num_samples, num_real) if metric.needs_real else num_samples
            ) < metric.min_clips:
                raise ValueError(
                    f"{name} needs at least {metric.min_clips} clips of either side, and there are "
                    f"{num_samples} samples and {num_real} real clips: raise num_videos"
                )

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Refuse prompts that a metric cannot judge samples by.

        Raises:
            ValueError: which metric cannot, and why.
        """
        bare = [index for index, prompt in enumerate(prompts) if not prompt]
        for name, metric in self.metrics.items():
            if metric.needs_prompts and bare:
                raise ValueError(
                    f"{name} judges samples by their prompts, and that of sample {bare[0]} is "
                    "empty: give prompts, or leave it out"
                )
            metric.check_prompts(prompts)

    def to(self, device: torch.device | str) -> None:
        """Compute on ``device`` from now on."""
        for metric in self.metrics.values():
            metric.to(device)

    def extract(self, clips: Tensor) -> FoundBy:
        """The features of clips (b, 3, f, h, w) in [-1, 1]."""
        return {key: features.extract(clips) for key, features in self.features.items()}

    def measure(
        self,
        generated: FeatureTable,
        real: FeatureTable | None,
        failed: Reasons | None = None,
        whose: str = "",
    ) -> dict[str, Measured]:
        """The scores and rows of a set of clips, by metric.

        Args:
            generated: the set.
            real: None if no metric compares with real clips.
            failed: gets the metrics that cannot be measured; by default they raise.
            whose: the set's name where there are several, for ``failed``.
        """
        measured = {}
        for name, metric in self.metrics.items():
            with noting(failed, f"{name} of {whose}" if whose else name):
                measured[name] = metric.measure(generated, real)
        return measured

    def describe(
        self, noise_floors: Mapping[str, NoiseFloor | None] | None = None
    ) -> dict[str, MetricInfo]:
        """The metrics for reports, with their noise floors by name."""
        floors = noise_floors or {}
        return {name: metric.describe(floors.get(name)) for name, metric in self.metrics.items()}


def join(parts: Sequence[tuple[Sequence[int], FoundBy]]) -> FoundBy:
    """Features from all processes, in the order of the clips, each once; a collective.

    Args:
        parts: of this process: the numbers of some clips, and their features.
    """
    import torch

    every = [part for some in gather(list(parts)) for part in some]
    numbers = [number for some, _ in every for number in some]
    first = {number: place for place, number in reversed([*enumerate(numbers)])}
    places = [first[number] for number in sorted(first)]
    return {
        key: {
            name: torch.cat([found[key][name] for _, found in every])[places]
            for name in every[0][1][key]
        }
        for key in every[0][1]
    }


def _named(metrics: Sequence[VideoMetric]) -> dict[str, VideoMetric]:
    """Metrics by the name that they are registered under, or that of their class."""
    named: dict[str, VideoMetric] = {}
    reporters: dict[str, str] = {}
    registered = {c.cls: c.name for c in get_kind("metric").components.values()}
    for metric in metrics:
        name = registered.get(type(metric), type(metric).__name__)
        if name in named:
            raise ValueError(f"{name} is named twice among the metrics: leave one of them out")
        if metric.paired:
            raise ValueError(
                f"{name} compares pairs, and a sample has no partner among real clips: leave it out"
            )
        for score in metric.scores:
            if other := reporters.get(score):
                raise ValueError(f"{other} and {name} both report {score}: leave one of them out")
            reporters[score] = name
        named[name] = metric
    return named
