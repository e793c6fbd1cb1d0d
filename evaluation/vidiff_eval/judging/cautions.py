"""What would mislead in a report, said in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from vidiff.evaluation_report import Group, Report
from vidiff_eval.protocols.protocol import Protocol

FEW = 256
"""Clips below which their number decides a Fréchet distance."""


def cautions(report: Report, protocol: Protocol) -> list[str]:
    """What a reader of a report has to know before using its scores, a sentence each."""
    sides = {**report.groups, **({"real": report.real} if report.real else {})}
    return [
        *_of_rates(sides),
        *_of_files(sides, protocol),
        *_of_precision(report.precision),
        *_of_numbers(report, sides),
        *_of_floors(report),
    ]


def _of_rates(sides: Mapping[str, Group]) -> Iterator[str]:
    rates = {name: side.fps for name, side in sides.items() if side.fps}
    every = [rate for some in rates.values() for rate in some]
    from vidiff.video.timing import NEAR

    if every and max(every) > (1 + NEAR) * min(every):
        spans = {name: dict.fromkeys((min(some), max(some))) for name, some in rates.items()}
        said = ", ".join(f"{n} {' to '.join(f'{e:g}' for e in ends)}" for n, ends in spans.items())
        yield (
            f"clips differ in frames per second ({said}), and scores of motion depend on the rate: "
            f"set --protocol.fps {min(every):g}, or give files of one rate"
        )


def _of_files(sides: Mapping[str, Group], protocol: Protocol) -> Iterator[str]:
    for name, side in sides.items():
        yield from (f"{name}: {note}" for note in side.notes)
        if side.skipped:
            files = ", ".join(entry.file for entry in side.skipped[:3])
            yield f"{name}: {len(side.skipped)} files could not be used ({files})"
        if protocol.num_clips and side.num_clips < protocol.num_clips:
            yield (
                f"{name}: {side.num_clips} clips, where protocol {protocol.name} takes "
                f"{protocol.num_clips}: not comparable with scores of as many"
            )


def _of_precision(groups: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for key, done in {"trained_in": "trained", "precision": "sampled"}.items():
        known = {name: said[key] for name, said in groups.items() if key in said}
        if len(set(known.values())) > 1:
            listed = ", ".join(f"{name} in {precision}" for name, precision in known.items())
            yield (
                f"the groups were {done} in different precision ({listed}), which may be what "
                "makes them differ"
            )


def _of_numbers(report: Report, sides: Mapping[str, Group]) -> Iterator[str]:
    biased = [name for name, metric in report.metrics.items() if metric.depends_on_number]
    fewest = min(side.num_clips for side in sides.values())
    if biased and fewest < FEW:
        yield (
            f"{', '.join(biased)}: {fewest} clips are few. Such scores depend on the number of "
            f"clips, the more so below {FEW}: compare them only with scores of as many clips"
        )
    if biased and len({group.num_clips for group in report.groups.values()}) > 1:
        yield (
            f"{', '.join(biased)}: the groups have different numbers of clips, so their scores "
            "are not comparable with each other; set --protocol.num_clips"
        )


def _of_floors(report: Report) -> Iterator[str]:
    for metric, info in report.metrics.items():
        if not info.noise_floor:
            continue
        floor = info.noise_floor.quantile_95
        said = f"{floor:.4g}"
        if info.noise_floor.is_upper_bound:
            said += f", of {info.noise_floor.num_clips} clips: of more it is lower"
        values = {
            name: group.scores[metric][0].value
            for name, group in report.groups.items()
            if group.scores[metric] and group.scores[metric][0].is_known
        }
        for name, value in values.items():
            if value <= floor:
                yield (
                    f"{metric} of {name} ({value:.4g}) is within what real clips have against real "
                    f"ones ({said}): it cannot tell these apart"
                )
        for one, other in combinations(values, 2):
            difference = abs(values[one] - values[other])
            if difference <= floor < max(values[one], values[other]):
                yield (
                    f"{metric}: {one} and {other} differ by {difference:.4g}, less than the noise "
                    f"floor ({said})"
                )
