"""The clips that the page of an evaluation plays: the worst and the best of each score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vidiff.evaluation_report import Mark, Report, Video
from vidiff.pages.media import Media, embed_clip
from vidiff_eval.protocols.protocol import Protocol

EACH = 6
"""Clips shown at either end of a score, for each group."""

MAX_BYTES = 20_000_000
"""Of all clips in a page together."""

MAX_SCORES = 12
"""Scores that can be chosen."""


@dataclass(frozen=True)
class Card:
    """A clip with its value: where in the page its video is, and how it is marked."""

    key: str
    value: float
    video: Video
    mark: Mark


@dataclass(frozen=True)
class Shelf:
    """A score's clips in one group, from the first end and from the other."""

    score: str
    group: str
    ends: list[tuple[str, list[Card]]]


@dataclass
class Gallery:
    """All shelves, and the media of their cards, each once."""

    shelves: list[Shelf] = field(default_factory=list)
    media: dict[str, Media] = field(default_factory=dict)
    num_left_out: int = 0

    @property
    def scores(self) -> list[str]:
        """What the clips can be ordered by."""
        return list(dict.fromkeys(shelf.score for shelf in self.shelves))

    @property
    def uris(self) -> dict[str, str]:
        """Addresses by key."""
        return {key: media.uri for key, media in self.media.items()}


def make_gallery(report: Report) -> Gallery:
    """Choose and embed clips, the most telling ones first, until the page is large enough.

    Files that are not in the folders of the groups any more are not shown.
    """
    wanted = [
        shelf
        for name, is_higher_better in _scores(report)[:MAX_SCORES]
        for group in report.groups
        if (shelf := _shelf(report, name, is_higher_better, group))
    ]
    protocol = Protocol(**report.protocol.settings)
    gallery = Gallery()
    size = 0
    for card, group in {card.key: (card, group) for card, group in _by_rank(wanted)}.values():
        media = None if size >= MAX_BYTES else embed_clip(
            Path(report.groups[group].folder, card.video.file), start=card.video.start,
            num_frames=protocol.num_frames, fps=protocol.fps, stride=protocol.stride,
        )  # fmt: skip
        if media is None or size + len(media.uri) > MAX_BYTES:
            gallery.num_left_out += 1
        else:
            gallery.media[card.key] = media
            size += len(media.uri)
    for shelf in wanted:
        ends = [(end, [c for c in cards if c.key in gallery.media]) for end, cards in shelf.ends]
        if any(cards for _, cards in ends):
            gallery.shelves.append(Shelf(shelf.score, shelf.group, ends))
    return gallery


def _scores(report: Report) -> list[tuple[tuple[str, str], bool | None]]:
    """(metric, score) of metrics that judge clips, main ones first, and which way is better."""
    known = [
        ((name, score.name), metric.is_higher_better(score.name))
        for name, metric, score in report.infos()
        if metric.has_rows
    ]
    return sorted(known, key=lambda one: one[0][1] != report.metrics[one[0][0]].main.name)


def _shelf(
    report: Report, name: tuple[str, str], is_higher_better: bool | None, group: str
) -> Shelf | None:
    found = report.groups[group]
    known = [
        Card(f"{group}/{video.id}", value, video, report.mark(video))
        for video in found.videos
        if (value := video.value(*name)) is not None and Path(found.folder, video.file).exists()
    ]
    if not known:
        return None
    order = sorted(known, key=lambda card: card.value, reverse=is_higher_better is False)
    each = min(EACH, (len(known) + 1) // 2)
    first, last = ("lowest", "highest") if is_higher_better is None else ("worst", "best")
    ends = [(first, order[:each]), (last, order[::-1][: min(each, len(known) - each)])]
    return Shelf(name[1], group, ends)


def _by_rank(shelves: list[Shelf]) -> Iterator[tuple[Card, str]]:
    """The first card of every end, then the second of every end, and so on."""
    for rank in range(EACH):
        for shelf in shelves:
            yield from ((cards[rank], shelf.group) for _, cards in shelf.ends if rank < len(cards))
