"""What metrics find of sets of files, from features that are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vidiff.evaluation_report import Curve, NoiseFloor
from vidiff_eval.clips.clip import ClipSet, Sides
from vidiff_eval.extraction.failing import Reasons, noting
from vidiff_eval.extraction.feature_table import StoredTable
from vidiff_eval.extraction.store import Store
from vidiff_eval.judging.metric_group import MetricGroup
from vidiff_eval.judging.sanity import REFERENCE, has_part
from vidiff_eval.metrics.base import Measured, VideoMetric
from vidiff_eval.protocols.protocol import Protocol


@dataclass
class Tables:
    """The stored features of all sets of an evaluation, and the metrics that compare them."""

    protocol: Protocol  # by which the clips were chosen
    metrics: MetricGroup  # their features are stored
    sides: Sides  # the clips
    sanity_sets: Mapping[str, ClipSet]  # changed real clips, and their reference; may be empty
    store: Store  # has the features
    not_measured: Reasons  # why, by what cannot be measured; measuring adds to it

    def __post_init__(self) -> None:
        store, real = self.store, self.sides.real
        self.generated = {n: StoredTable(some, store) for n, some in self.sides.generated.items()}
        self.real = None if real is None else StoredTable(real, store)
        changed = self.sanity_sets.items()
        self.sanity = {row: StoredTable(some, store, as_given=True) for row, some in changed}

    def forget(self) -> None:
        """Free what was loaded."""
        for table in (*self.generated.values(), *self.sanity.values(), self.real):
            if table is not None:
                table.forget()


@dataclass
class Findings:
    """What was found, by name of the metric."""

    tables: Tables  # of what
    metrics: MetricGroup  # of which some set of generated clips has scores
    generated: dict[str, dict[str, Measured]]  # by group and metric
    real: dict[str, Measured] = field(default_factory=dict)  # of metrics that need no others
    noise_floors: dict[str, NoiseFloor | None] = field(default_factory=dict)
    sanity: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)  # by row
    curves: dict[str, list[Curve]] = field(default_factory=dict)  # charts


def measure(tables: Tables) -> Findings:
    """Measure all sets, holding one kind of features at a time.

    A metric that can measure no group has no part in the rest.

    Raises:
        ValueError: if nothing could be measured.
    """
    found = Findings(tables, tables.metrics, {name: {} for name in tables.generated})
    for some in tables.metrics.by_features():
        for group, table in tables.generated.items():
            whose = group if len(tables.generated) > 1 else ""
            found.generated[group] |= some.measure(table, tables.real, tables.not_measured, whose)
        measured = [name for group in found.generated.values() for name in group]
        _measure_more(some.only(measured), tables, found)
        tables.forget()
    found.metrics = tables.metrics.only([n for group in found.generated.values() for n in group])
    if not found.metrics.metrics:
        reasons = "; ".join(f"{name}: {why}" for name, why in tables.not_measured.items())
        raise ValueError(f"nothing could be measured: {reasons}")
    return found


def _measure_more(metrics: MetricGroup, tables: Tables, found: Findings) -> None:
    """All but the scores of groups."""
    real, failed = tables.real, tables.not_measured
    largest = max(map(len, tables.generated.values()))
    if real is not None:
        some = [name for name, metric in metrics.metrics.items() if _can_judge(metric, real)]
        found.real |= metrics.only(some).measure(real, None, failed, "the real clips")
    for name, metric in metrics.metrics.items():
        if real is not None:
            with noting(failed, f"the noise floor of {name}"):
                found.noise_floors[name] = metric.noise_floor(real, largest)
        with noting(failed, f"{name} in the sanity rows"):
            found.sanity[name] = _sanity(metric, tables.sanity)
        with noting(failed, f"the curves of {name}"):
            found.curves[name] = metric.charts(tables.generated, real)


def _can_judge(metric: VideoMetric, real: StoredTable) -> bool:
    """Whether a metric can measure real clips by themselves."""
    if metric.needs_real or (metric.needs_prompts and not all(real.prompts)):
        return False
    try:
        metric.check_prompts(real.prompts)
    except ValueError:
        return False
    return True


def _sanity(metric: VideoMetric, sets: Mapping[str, StoredTable]) -> dict[str, dict[str, float]]:
    """The scores of each row; none of a metric that has no part in them.

    Raises:
        ValueError: if the rows have too few clips.
    """
    if not sets or not has_part(metric):
        return {}
    reference = sets[REFERENCE]
    if len(reference) < metric.min_clips:
        raise ValueError(
            f"they have {len(reference)} clips of each half, and it needs {metric.min_clips}: "
            f"give {2 * metric.min_clips} real clips or more, or raise --sanity"
        )
    return {row: metric.values(table, reference) for row, table in sets.items() if row != REFERENCE}
