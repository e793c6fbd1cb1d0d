"""Several metrics of clips that are tensors, not files: what evaluates samples in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vidiff.registry import get_kind
from vidiff_eval.figures import Figure
from vidiff_eval.metrics.base import ClipMetric, SetMetric, VideoMetric
from vidiff_eval.processes import gather
from vidiff_eval.protocol import Protocol, fingerprint

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vidiff_eval.features.base import Features, Found

FoundBy = dict[str, "Found"]
"""What was found of clips, by the fingerprint of the settings of the features."""


class Measuring:
    """Metrics that measure the same clips; what several of them want of a clip is taken once.

    Args:
        metrics: that judge clips, or compare sets of them.
        protocol: that they follow from now on.

    Raises:
        ValueError: if there is none, one compares pairs, two report a figure of the same name, or
            something that one needs is missing.
    """

    def __init__(self, metrics: Sequence[VideoMetric], protocol: Protocol) -> None:
        if not metrics:
            raise ValueError("metrics are empty: name at least one, such as [fvd]")
        self.metrics = _named(metrics)
        self.features: dict[str, Features] = {}
        for name, metric in self.metrics.items():
            try:
                metric.follow(protocol)
                _ = metric.settings
                self.features.setdefault(_key(metric), metric.features)
            except ValueError as error:
                raise ValueError(f"{name} cannot be measured: {error}") from error

    @property
    def needs_real(self) -> bool:
        """Whether a metric compares with real clips."""
        return any(metric.needs_real for metric in self.metrics.values())

    def check(self, num_frames: int | None, num_samples: int, num_real: int) -> None:
        """Refuse clips that could not be measured in the end.

        Args:
            num_frames: of samples and of real clips, if it is known.
            num_samples: samples.
            num_real: real clips.

        Raises:
            ValueError: which metric cannot measure them, and why.
        """
        for name, metric in self.metrics.items():
            least = metric.features.min_frames
            if num_frames is not None and num_frames < least:
                raise ValueError(
                    f"{name} needs clips of at least {least} frames, and these have {num_frames}: "
                    "set the dataset's num_frames, or leave it out"
                )
            if isinstance(metric, SetMetric) and min(num_samples, num_real) < metric.min_clips:
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
            if isinstance(metric, ClipMetric):
                metric.check_prompts(prompts)

    def to(self, device: torch.device | str) -> None:
        """Compute on ``device`` from now on."""
        for metric in self.metrics.values():
            metric.to(device)

    def extract(self, clips: Tensor) -> FoundBy:
        """What the features find of clips (b, 3, f, h, w) in [-1, 1]."""
        return {key: features.extract(clips) for key, features in self.features.items()}

    def figures(
        self, prompts: Sequence[str], generated: FoundBy, real: FoundBy | None
    ) -> dict[str, list[Figure]]:
        """The figures of each metric, of what was found of all clips."""
        figures = {}
        for name, metric in self.metrics.items():
            found = generated[_key(metric)]
            if isinstance(metric, ClipMetric):
                figures[name] = metric.summarise(metric.tally(metric.judge(found, prompts)))
            else:
                assert real is not None
                reals = real[_key(metric)]
                figures[name] = metric.compare(reals[metric.output], found[metric.output])
        return figures

    def describe(self) -> dict[str, Any]:
        """The metrics for reports, as those of ``vidiff evaluate`` have them."""
        return {
            name: {
                "kind": metric.compares,
                "summary": (type(metric).__doc__ or "").strip().partition("\n")[0],
                "higher_is_better": metric.higher_is_better,
                "figures": list(metric.figures),
                "settings": metric.settings,
                "noise_floor": None,
            }
            for name, metric in self.metrics.items()
        }


def join(parts: Sequence[tuple[Sequence[int], FoundBy]]) -> FoundBy:
    """What all processes found of clips, in the order of the clips, each once.

    Every process has to call this.

    Args:
        parts: of this process: the numbers of some clips, and what was found of them.
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


def name_of(metric: VideoMetric) -> str:
    """The name that a metric is registered under, or that of its class."""
    components = get_kind("metric").components.values()
    return next((c.name for c in components if c.cls is type(metric)), type(metric).__name__)


def _key(metric: ClipMetric | SetMetric) -> str:
    return fingerprint(metric.features.settings)


def _named(metrics: Sequence[VideoMetric]) -> dict[str, ClipMetric | SetMetric]:
    named: dict[str, ClipMetric | SetMetric] = {}
    reporters: dict[str, str] = {}
    for metric in metrics:
        name = name_of(metric)
        if name in named:
            raise ValueError(f"{name} is named twice among the metrics: leave one of them out")
        if not isinstance(metric, (ClipMetric, SetMetric)) or (
            isinstance(metric, SetMetric) and metric.paired
        ):
            raise ValueError(
                f"{name} compares pairs, and a sample has no partner among real clips: leave it out"
            )
        for figure in metric.figures:
            if other := reporters.get(figure):
                raise ValueError(f"{other} and {name} both report {figure}: leave one of them out")
            reporters[figure] = name
        named[name] = metric
    return named


def by_figure(figures: Mapping[str, Sequence[Figure]]) -> dict[str, float]:
    """The values of all metrics' figures, by the name of the figure."""
    return {figure.name: figure.value for some in figures.values() for figure in some}
