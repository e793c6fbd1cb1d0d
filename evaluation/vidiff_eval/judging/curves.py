"""How scores change with the number of clips and with the distance between frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from vidiff.evaluation_report import Curve, Line

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff_eval.features.base import Found

Points = list[tuple[float, float]]

POINTS = 5
"""Numbers of clips that a distance is taken at."""


def against_number(
    distance: Callable[[Tensor, Tensor], Mapping[str, float]],
    name: str,
    min_clips: int,
    real: Tensor,
    generated: Mapping[str, Tensor],
) -> Curve:
    """A distance of ever smaller parts of both sides: its bias from the number of clips.

    Clips are in the order of their contents' hashes, so the parts are as if drawn at random.

    Args:
        distance: of real and generated features, by name.
        name: of the score.
        min_clips: that a distance needs.
        real: features (n, …).
        generated: the same of each group.
    """
    half = len(real) // 2
    sides = {"real against real": (real[:half], real[half:])}
    sides |= {label: (real, features) for label, features in generated.items()}
    lines = []
    for label, (one, other) in sides.items():
        numbers = _numbers(min_clips, min(len(one), len(other)))
        points: Points = [(n, distance(one[:n], other[:n])[name]) for n in numbers]
        if len(points) > 1:
            lines.append(Line(label, points))
    return Curve(f"{name} against the number of clips", "clips of each side", name, lines)


def against_distance(
    curves: Callable[[Found], Mapping[str, Tensor]], sides: Mapping[str, Iterable[Found]]
) -> list[Curve]:
    """Curves of a metric over the distance between frames, mean over clips.

    Args:
        curves: of the features of some clips, by name (b, f - 1).
        sides: features by label, some clips at a time.
    """
    lines: dict[str, list[Line]] = {}
    for label, chunks in sides.items():
        for name, values in _means(curves, chunks).items():
            points: Points = [*enumerate(values.tolist(), start=1)]
            lines.setdefault(name, []).append(Line(label, points))
    return [
        Curve(f"{name} against frame distance", "frames apart", name, series)
        for name, series in lines.items()
    ]


def _means(
    curves: Callable[[Found], Mapping[str, Tensor]], chunks: Iterable[Found]
) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    count = 0
    for found in chunks:
        count += len(next(iter(found.values())))
        for name, values in curves(found).items():
            total[name] = total.get(name, 0) + values.double().sum(0)
    return {name: values / count for name, values in total.items()}


def _numbers(least: int, most: int) -> list[int]:
    """Up to ``POINTS`` numbers, each about half of the next."""
    return sorted({most >> k for k in range(POINTS) if most >> k >= max(least, 4)})
