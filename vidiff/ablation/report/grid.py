"""Videos of the same prompt and noise, side by side for all cells."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidiff.pages.media import Media, embed_clip

if TYPE_CHECKING:
    from vidiff.ablation.judge.schema import Results, RunResult


MAX_BYTES = 20_000_000
"""Of all videos in a page together."""

MAX_PROMPTS = 6
MAX_CELLS = 24
MAX_SEEDS = 3


@dataclass(frozen=True)
class Shown:
    """A video of the grid: its key in ``VideoGrid.media``, and whether it shows its prompt."""

    key: str
    right: bool | None


@dataclass
class VideoGrid:
    """Rows are prompts, columns cells; one such table for each seed, None where a run has none.

    For ``num_left_out`` videos there was no room, and ``num_cells_left_out`` cells have no column.
    """

    cells: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    tables: dict[int, list[list[Shown | None]]] = field(default_factory=dict)
    media: dict[str, Media] = field(default_factory=dict)
    num_left_out: int = 0
    num_cells_left_out: int = 0
    num_bytes: int = 0

    def add(self, run: RunResult | None, index: int, prompt: str, folder: Path) -> Shown | None:
        """Embed a run's video, if it is of this prompt, its file exists, and there is room."""
        if run is None or index >= len(run.videos) or run.videos[index].prompt != prompt:
            return None
        if not (path := folder / run.videos[index].path).is_file():
            return None
        media = embed_clip(path) if self.num_bytes < MAX_BYTES else None
        if media is None or self.num_bytes + len(media.uri) > MAX_BYTES:
            self.num_left_out += 1
            return None
        key = f"{run.id}/{index}"
        self.media[key] = media
        self.num_bytes += len(media.uri)
        return Shown(key, run.videos[index].right)


def make_grid(results: Results, folder: Path) -> VideoGrid:
    """Choose and embed videos, the first prompts of all cells before further seeds."""
    having = [cell for cell in results.cells if any(run.videos for run in cell.runs)]
    cells = replace(results, cells=having).best_cells(MAX_CELLS)
    grid = VideoGrid([cell.name for cell in cells], num_cells_left_out=len(having) - len(cells))
    if not cells:
        return grid
    videos = next(run.videos for run in cells[0].runs if run.videos)
    indices = range(0, len(videos), -(-len(videos) // MAX_PROMPTS))
    grid.prompts = [videos[index].prompt for index in indices]
    for seed in results.seeds[:MAX_SEEDS]:
        runs = [next((r for r in c.runs if r.seed == seed and r.videos), None) for c in cells]
        rows = [
            [grid.add(run, index, prompt, folder) for run in runs]
            for index, prompt in zip(indices, grid.prompts, strict=True)
        ]
        if any(video for row in rows for video in row):
            grid.tables[seed] = rows
    return grid
