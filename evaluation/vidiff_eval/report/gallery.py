"""Which clips the page of an evaluation plays: the worst and the best of each figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidiff.pages.media import Media, embed_clip

EACH = 6
"""Clips shown at either end of a figure, for each group."""

MAX_BYTES = 20_000_000
"""Of all clips in a page together."""

MAX_FIGURES = 12
"""Figures that can be chosen."""


@dataclass(frozen=True)
class Card:
    """A clip beside its value: where in the page its video is, and what was found."""

    key: str
    value: float
    video: dict[str, Any]

    @property
    def mark(self) -> str:
        """``right`` or ``wrong`` where prompts were judged, else empty."""
        found = self.video["found"].get("prompt_accuracy", {})
        return "" if "right" not in found else "right" if found["right"] else "wrong"

    @property
    def looks_like(self) -> str:
        """What a wrong clip shows instead of its prompt; empty where nothing was said."""
        found = self.video["found"].get("prompt_accuracy", {})
        return str(found.get("found", "")) if self.mark == "wrong" else ""


@dataclass(frozen=True)
class Shelf:
    """A figure's clips in one group, from the first end and from the other."""

    figure: str
    group: str
    ends: list[tuple[str, list[Card]]]


@dataclass
class Gallery:
    """All shelves, and the media of their cards, each once."""

    shelves: list[Shelf] = field(default_factory=list)
    media: dict[str, Media] = field(default_factory=dict)
    num_left_out: int = 0

    @property
    def figures(self) -> list[str]:
        """What the clips can be ordered by."""
        return list(dict.fromkeys(shelf.figure for shelf in self.shelves))

    @property
    def uris(self) -> dict[str, str]:
        """Addresses by key."""
        return {key: media.uri for key, media in self.media.items()}


def make_gallery(report: dict[str, Any], clips: Mapping[str, Mapping[str, Path]]) -> Gallery:
    """Choose and embed clips, the most telling ones first, until the page is large enough.

    Args:
        report: of an evaluation.
        clips: files by group and by id of their clip; what is missing is not shown.
    """
    wanted = [
        shelf
        for name, is_higher_better in _figures(report)[:MAX_FIGURES]
        for group, found in report["groups"].items()
        if (shelf := _shelf(name, is_higher_better, group, found["videos"], clips.get(group, {})))
    ]
    gallery = Gallery()
    size, tried = 0, set()
    for card, group in _by_rank(wanted):
        if card.key in tried:
            continue
        tried.add(card.key)
        if size >= MAX_BYTES:
            gallery.num_left_out += 1
            continue
        media = embed_clip(
            clips[group][card.video["id"]],
            start=card.video["start"] or 0.0,
            **_clip_of(report["protocol"]),
        )
        if media is None or size + len(media.uri) > MAX_BYTES:
            gallery.num_left_out += 1
            continue
        gallery.media[card.key] = media
        size += len(media.uri)
    for shelf in wanted:
        ends = [(end, [c for c in cards if c.key in gallery.media]) for end, cards in shelf.ends]
        if any(cards for _, cards in ends):
            gallery.shelves.append(Shelf(shelf.figure, shelf.group, ends))
    return gallery


def _figures(report: dict[str, Any]) -> list[tuple[tuple[str, str], bool | None]]:
    """(metric, figure) of metrics that judge clips, main ones first, and which way is better."""
    judging = [(n, metric) for n, metric in report["metrics"].items() if metric["kind"] != "sets"]
    main = [((n, m["figures"][0]), m["higher_is_better"]) for n, m in judging if m["figures"]]
    others = [((n, figure), None) for n, m in judging for figure in m["figures"][1:]]
    return [*main, *others]


def _shelf(
    name: tuple[str, str],
    is_higher_better: bool | None,
    group: str,
    videos: list[dict[str, Any]],
    paths: Mapping[str, Path],
) -> Shelf | None:
    metric, figure = name
    known = [
        Card(f"{group}/{video['id']}", float(value), video)
        for video in videos
        if video["id"] in paths
        and (value := video["found"].get(metric, {}).get(figure)) is not None
    ]
    if not known:
        return None
    rising = sorted(known, key=lambda card: card.value)
    each = min(EACH, (len(known) + 1) // 2)
    low, high = rising[:each], rising[::-1][: min(each, len(known) - each)]
    if is_higher_better is None:
        ends = [("lowest", low), ("highest", high)]
    elif is_higher_better:
        ends = [("worst", low), ("best", high)]
    else:
        low, high = rising[: len(high)], rising[::-1][: len(low)]
        ends = [("worst", high), ("best", low)]
    return Shelf(figure, group, ends)


def _by_rank(shelves: list[Shelf]) -> Iterator[tuple[Card, str]]:
    """The first card of every end, then the second of every end, and so on."""
    for rank in range(EACH):
        for shelf in shelves:
            for _, cards in shelf.ends:
                if rank < len(cards):
                    yield cards[rank], shelf.group


def _clip_of(protocol: dict[str, Any]) -> dict[str, Any]:
    """What a protocol says of the length and rate of clips."""
    return {
        "num_frames": protocol.get("num_frames"),
        "fps": protocol.get("fps"),
        "stride": protocol.get("stride") or 1,
    }
