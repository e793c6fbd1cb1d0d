"""The folder of sampled videos: what it is for, its files, its contact sheet and its list."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from vidiff.checks import at_least
from vidiff.config_nodes import describe
from vidiff.files import write_text
from vidiff.rewriters import MakeRewriter
from vidiff.video import (
    ENDINGS,
    contact_sheet,
    enlarged,
    read_clip,
    scale_to,
    sheet_row,
    write_video,
)

log = logging.getLogger(__name__)

Texts = list[tuple[str, str]]
"""Each prompt as it is sampled, and why it was not rewritten or ""."""

PLAN = "sampling.json"
SAMPLES = "samples.jsonl"
SHORT_SIDE = 256
"""Small videos are enlarged to about this many pixels, or H.264 would blur their colours."""
SHOWN = 12
"""Videos on the contact sheet, the first."""


@dataclass(frozen=True)
class Claim:
    """What the first process has found and all processes work from."""

    missing: list[int]  # indices of the prompts without videos
    rewritten: Texts | None  # None without a rewriter


class SampleFolder:
    """Videos of one list of prompts, made with one seed and one set of settings.

    Args:
        seed: which, with a prompt's index, decides its noise.
        size: height and width of the videos, in pixels.
        scale: how much larger the files are, each pixel repeated; chosen by size where None.
        formats: endings of each video's files, without the dot: mp4, webm, gif.
        rewriter: what rewrites the prompts, once: a call that goes on samples the same texts.

    Attributes:
        given: the prompts as the user wrote them, after which files are named.
        prompts: the prompts that are sampled.
    """

    def __init__(
        self,
        path: str | Path,
        prompts: Sequence[str],
        *,
        seed: int,
        fps: float,
        size: tuple[int, int],
        settings: dict[str, Any],
        scale: int | None = None,
        formats: Sequence[str] = ("mp4",),
        rewriter: MakeRewriter | None = None,
    ) -> None:
        self.path, self.given, self.seed, self.fps = Path(path), list(prompts), seed, fps
        self.prompts, self.rewriter = list(prompts), rewriter
        self.problems = [""] * len(self.prompts)
        at_least(1, scale=scale)
        self.scale = scale_to(SHORT_SIDE, size) if scale is None else scale
        self.settings = settings | {"fps": fps, "scale": self.scale}
        if rewriter is not None:
            self.settings["rewriter"] = describe(rewriter)
        self.formats = list(formats)
        self._rows: dict[int, Image.Image] = {}  # of the contact sheet, of videos written here

    def claim(self) -> Claim:
        """The indices without files, in a new folder or one of the same call, and the prompts.

        Raises:
            ValueError: if the folder holds samples of another call, or anything else, or if the
                rewriter can rewrite no prompt.
        """
        plan = {"prompts": self.given, "seed": self.seed, "settings": self.settings}
        known = self.path / PLAN
        names = {path.name for path in self.path.glob("[!.]*")}
        begun = any(name.endswith(ENDINGS) for name in names)  # a call may fail before its first
        if known.exists() and begun:
            there = json.loads(known.read_text(encoding="utf-8"))
            rewritten = there.pop("rewritten", None)
            if there != json.loads(json.dumps(plan)):
                raise ValueError(
                    f"{self.path} holds samples made with other prompts, seed, settings or "
                    "weights: choose another --output, or remove that folder"
                )
        elif names - {PLAN}:
            raise ValueError(f"{self.path} is not empty and holds no samples: choose another one")
        else:
            rewritten = self._rewritten()
            self.path.mkdir(parents=True, exist_ok=True)
            more = {} if rewritten is None else {"rewritten": rewritten}
            write_text(known, json.dumps(plan | more, indent=1) + "\n")
        every = range(len(self.given))
        missing = [index for index in every if not all(p.exists() for p in self.files(index))]
        return Claim(missing, rewritten)

    def take(self, claim: Claim) -> None:
        """Sample the prompts that the first process has rewritten."""
        if claim.rewritten is not None:
            self.prompts = [text for text, _ in claim.rewritten]
            self.problems = [problem for _, problem in claim.rewritten]

    def _rewritten(self) -> Texts | None:
        if self.rewriter is None:
            return None
        results = list(self.rewriter().rewrite(self.given))
        if kept := [one for one in results if one.problem]:
            log.warning(
                "%d of %d prompts are sampled as they are: %s",
                len(kept), len(results), "; ".join(dict.fromkeys(one.problem for one in kept)),
            )  # fmt: skip
        return [(one.prompt, one.problem) for one in results]

    def leave(self) -> None:
        """Remove the folder if it holds only the plan."""
        if {path.name for path in self.path.glob("*")} == {PLAN}:
            (self.path / PLAN).unlink(missing_ok=True)
            self.path.rmdir()

    def write(self, index: int, pixels: Tensor) -> None:
        """Write the video (3, f, h, w) of one prompt; several threads may, each its own prompts."""
        large = self.enlarged(pixels)
        for path in self.files(index):
            write_video(path, large, self.fps)
        if index < SHOWN:
            self._rows[index] = sheet_row(pixels, self.given[index])

    def enlarged(self, pixels: Tensor) -> Tensor:
        """A video (3, f, h, w) as its files show it."""
        return enlarged(pixels, self.scale)

    def finish(self) -> None:
        """Write the contact sheet of the first videos, and the list of all."""
        shown = range(min(SHOWN, len(self.prompts)))
        contact_sheet(self.path / "contact_sheet.png", [self._row(index) for index in shown])
        lines = [json.dumps(self.record(index)) for index in range(len(self.prompts))]
        write_text(self.path / SAMPLES, "\n".join(lines) + "\n")

    def record(self, index: int) -> dict[str, Any]:
        """The line of ``samples.jsonl`` for one prompt."""
        first, *others = self.files(index)
        original = {} if self.rewriter is None else {"original_prompt": self.given[index]}
        problem = {"rewrite_problem": text} if (text := self.problems[index]) else {}
        return {
            "prompt": self.prompts[index],
            **original,
            **problem,
            "seed": self.seed,
            "index": index,
            "file": first.name,
            **{path.suffix[1:]: path.name for path in others},
            "settings": self.settings,
        }

    def files(self, index: int) -> list[Path]:
        """The files of one prompt's video, one of each format."""
        words = re.sub(r"[^a-z0-9]+", "-", self.given[index].lower())[:48].strip("-")
        stem = f"{index:05d}{'-' if words else ''}{words}"
        return [self.path / f"{stem}.{format}" for format in self.formats]

    def _row(self, index: int) -> Image.Image:
        if index not in self._rows:  # an earlier call or another process has written it
            video = read_clip(self.files(index)[0], num_frames=self.settings["num_frames"])
            self._rows[index] = sheet_row(video, self.given[index])
        return self._rows[index]


def read_formats(formats: str) -> list[str]:
    """Endings of video files that commas separate, each once.

    Raises:
        ValueError: if one is unknown.
    """
    found = list(dict.fromkeys(name.strip().lower().lstrip(".") for name in formats.split(",")))
    known = [ending[1:] for ending in ENDINGS]
    if unknown := [name for name in found if name not in known]:
        raise ValueError(f"formats must be some of {', '.join(known)}, got {unknown[0]!r}")
    return found
