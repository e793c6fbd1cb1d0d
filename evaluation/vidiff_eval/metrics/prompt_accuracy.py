"""The share of prompts that a video shows, judged by the MovingShapes oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.intervals import wilson
from vidiff_eval.metrics.base import Row, Sums, VideoMetric
from vidiff_eval.ranges import Ranges

if TYPE_CHECKING:
    from torch import Tensor

PARTS = ("colour", "shape", "motion")


@register("prompt_accuracy")
class PromptAccuracy(VideoMetric):
    """Share of videos that show the colour, shape and motion of their MovingShapes prompt.

    Each video is compared with every true rendering in the given ranges (``vidiff_eval.oracle``).
    It is right if the nearest one has the colour, shape and motion that the prompt names, if its
    PSNR against that is at least ``min_psnr``, and if it is nearer to that than to a plain grey.

    Args:
        radius: smallest and largest half extent of the training data's shapes, in pixels.
        speed: smallest and largest speed of a shape that moves, in pixels per frame.
        background: darkest and lightest background, grey levels in [0, 1].
        min_psnr: in dB; no video below it is right.

    Raises:
        ValueError: if a range is empty, or if a shape that moves may stand still.
    """

    higher_is_better = True

    def __init__(
        self,
        radius: tuple[float, float] = (5.0, 8.0),
        speed: tuple[float, float] = (1.0, 2.0),
        background: tuple[float, float] = (0.0, 0.3),
        min_psnr: float = 18.0,
    ) -> None:
        self.ranges = Ranges(radius, speed, background)
        self.min_psnr = min_psnr

    @property
    def settings(self) -> dict[str, Any]:
        ranges = {name: list(bounds) for name, bounds in asdict(self.ranges).items()}
        return {**ranges, "min_psnr": self.min_psnr}

    def check_prompts(self, prompts: Sequence[str]) -> None:
        from vidiff.data.shapes import parse_caption

        for number, prompt in enumerate(prompts, start=1):
            try:
                parse_caption(prompt)
            except ValueError as error:
                raise ValueError(
                    f"prompt_accuracy cannot judge prompt {number} of {len(prompts)}: {error}"
                ) from error

    def measure(self, videos: Tensor, prompts: Sequence[str]) -> list[Row]:
        from vidiff.data.shapes import COLOURS, MOTIONS, SHAPES, Combination, parse_caption
        from vidiff_eval.oracle import find_scenes

        matches = find_scenes(videos, self.ranges)
        scenes = matches.scenes
        rows = []
        for index, prompt in enumerate(prompts):
            asked = parse_caption(prompt)
            found = Combination(
                list(COLOURS)[scenes.colour[index]],
                SHAPES[scenes.shape[index]],
                list(MOTIONS)[scenes.motion[index]],
            )
            same = {part: getattr(asked, part) == getattr(found, part) for part in PARTS}
            psnr, blank_psnr = float(matches.psnr[index]), float(matches.blank_psnr[index])
            shown = psnr >= self.min_psnr and psnr > blank_psnr
            rows.append(
                {
                    "right": shown and all(same.values()),
                    "found": found.caption,
                    "psnr_db": psnr,
                    "blank_psnr_db": blank_psnr,
                    **{f"{part}_right": same[part] for part in PARTS},
                    "pose": {
                        name: round(float(getattr(scenes, name)[index]), 4)
                        for name in ("radius", "speed", "x", "y", "background")
                    },
                }
            )
        return rows

    def tally(self, rows: Sequence[Row]) -> Sums:
        flags = ("right", *(f"{part}_right" for part in PARTS))
        return {
            "num_videos": float(len(rows)),
            "psnr_db": sum((row["psnr_db"] for row in rows), 0.0),
            **{flag: float(sum(row[flag] for row in rows)) for flag in flags},
        }

    def summarise(self, sums: Sums) -> dict[str, Any]:
        total, right = round(sums["num_videos"]), round(sums["right"])
        if not total:
            raise ValueError("there is no video to judge")
        return {
            "num_videos": total,
            "num_right": right,
            "accuracy": right / total,
            "accuracy_interval_95": list(wilson(right, total)),
            **{f"{part}_accuracy": sums[f"{part}_right"] / total for part in PARTS},
            "psnr_db": sums["psnr_db"] / total,
        }
