"""Videos of the same prompt and noise, side by side for all cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidiff.ablation.report.choosing import shown_cells
from vidiff.pages.media import Media, embed_clip

MAX_BYTES = 20_000_000
"""Of all videos in a page together."""

MAX_PROMPTS = 6
MAX_CELLS = 24
MAX_SEEDS = 3


@dataclass(frozen=True)
class Video:
    """A video of the grid: its key in ``Grid.media``, and whether it shows its prompt."""

    key: str
    right: bool | None


@dataclass
class Grid:
    """Rows are prompts, columns cells; one such table for each seed.

    Attributes:
        cells: names of the columns.
        prompts: of the rows.
        tables: by seed, rows of videos; None where a run has none.
        media: by key.
        num_left_out: videos for which there was no room.
        num_cells_left_out: cells that have videos but no column.
    """

    cells: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    tables: dict[int, list[list[Video | None]]] = field(default_factory=dict)
    media: dict[str, Media] = field(default_factory=dict)
    num_left_out: int = 0
    num_cells_left_out: int = 0

    @property
    def uris(self) -> dict[str, str]:
        """Addresses by key."""
        return {key: media.uri for key, media in self.media.items()}


def make_grid(results: Mapping[str, Any], folder: Path) -> Grid:
    """Choose and embed videos, the first prompts of all cells before further seeds.

    Args:
        results: of ``vidiff ablate``.
        folder: from where their paths are given.
    """
    having = [cell for cell in results["cells"] if any(run["videos"] for run in cell["runs"])]
    cells = shown_cells({**results, "cells": having}, MAX_CELLS)
    grid = Grid([cell["name"] for cell in cells], num_cells_left_out=len(having) - len(cells))
    if not cells:
        return grid
    some = next(run["videos"] for run in cells[0]["runs"] if run["videos"])
    chosen = _spread(some)
    grid.prompts = [some[index]["prompt"] for index in chosen]
    size = 0
    for seed in results["seeds"][:MAX_SEEDS]:
        runs = [_run_of(cell, seed) for cell in cells]
        rows: list[list[Video | None]] = []
        for index, prompt in zip(chosen, grid.prompts, strict=True):
            row: list[Video | None] = []
            for run in runs:
                path = _video_at(run, index, prompt, folder)
                if path is None:
                    row.append(None)
                    continue
                media = embed_clip(path) if size < MAX_BYTES else None
                if media is None or size + len(media.uri) > MAX_BYTES:
                    grid.num_left_out += 1
                    row.append(None)
                    continue
                assert run is not None
                key = f"{run['id']}/{index}"
                grid.media[key] = media
                size += len(media.uri)
                row.append(Video(key, run["videos"][index]["right"]))
            rows.append(row)
        if any(video for row in rows for video in row):
            grid.tables[seed] = rows
    return grid


def _spread(videos: list[dict[str, Any]]) -> list[int]:
    """Places of a few videos from all over the list."""
    step = -(-len(videos) // MAX_PROMPTS)
    return [*range(0, len(videos), step)]


def _video_at(run: dict[str, Any] | None, index: int, prompt: str, folder: Path) -> Path | None:
    """The file of a run's video, if it is there and of this prompt."""
    if run is None or index >= len(run["videos"]) or run["videos"][index]["prompt"] != prompt:
        return None
    path = folder / run["videos"][index]["path"]
    return path if path.is_file() else None


def _run_of(cell: Mapping[str, Any], seed: int) -> dict[str, Any] | None:
    return next((run for run in cell["runs"] if run["seed"] == seed and run["videos"]), None)
