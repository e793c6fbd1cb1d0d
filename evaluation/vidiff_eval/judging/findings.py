"""What metrics find of sets of files, from features that are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vidiff.evaluation_report import Curve, NoiseFloor
from vidiff_eval.extraction.failing import Reasons, noting
from vidiff_eval.extraction.feature_table import StoredTable
from vidiff_eval.judging.metric_group import MetricGroup
from vidiff_eval.judging.sanity import REFERENCE, has_part
from vidiff_eval.metrics.base import Measured, VideoMetric


@dataclass
class Tables:
    """The features of all sets of an evaluation.

    Attributes:
        generated: groups of clips.
        real: the real clips; None without any.
        sanity: real clips with something done to them, and their reference; may be empty.
    """

    generated: dict[str, StoredTable]
    real: StoredTable | None
    sanity: dict[str, StoredTable]

    def forget(self) -> None:
        """Free what was loaded."""
        for table in (*self.generated.values(), *self.sanity.values()):
            table.forget()
        if self.real is not None:
            self.real.forget()


@dataclass
class Findings:
    """What was found, by name of the metric.

    Attributes:
        generated: by group and metric.
        real: of metrics that need no other clips to compare with.
        noise_floors: None where there is none.
        sanity: scores by row of the sanity sets.
        curves: charts.
    """

    generated: dict[str, dict[str, Measured]]
    real: dict[str, Measured] = field(default_factory=dict)
    noise_floors: dict[str, NoiseFloor | None] = field(default_factory=dict)
    sanity: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    curves: dict[str, list[Curve]] = field(default_factory=dict)


def find(metrics: MetricGroup, tables: Tables, failed: Reasons) -> Findings:
    """Measure all sets, in the memory that one kind of features takes.

    A metric that can measure no group has no part in the rest.

    Args:
        metrics: their features are stored.
        tables: of the sets.
        failed: is told of what could not be measured.
    """
    found = Findings({name: {} for name in tables.generated})
    for some in metrics.by_features():
        for group, table in tables.generated.items():
            whose = group if len(tables.generated) > 1 else ""
            found.generated[group] |= some.measure(table, tables.real, failed, whose)
        measured = [name for group in found.generated.values() for name in group]
        _find_more(some.only(measured), tables, found, failed)
        tables.forget()
    return found


def _find_more(metrics: MetricGroup, tables: Tables, found: Findings, failed: Reasons) -> None:
    """All but the scores of groups."""
    real = tables.real
    largest = max(map(len, tables.generated.values()))
    if real is not None:
        alone = [name for name, metric in metrics.metrics.items() if _can_judge(metric, real)]
        found.real |= metrics.only(alone).measure(real, None, failed, "the real clips")
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
