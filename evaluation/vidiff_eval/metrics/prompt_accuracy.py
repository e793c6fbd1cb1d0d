"""The share of prompts that a video shows, judged by the MovingShapes oracle."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from vidiff.evaluation_report import Marks
from vidiff.registry import register
from vidiff_eval.features.base import Found
from vidiff_eval.features.scenes import POSE, Scene
from vidiff_eval.metrics.base import ClipMetric, Row
from vidiff_eval.oracle.ranges import Ranges

PARTS = ("colour", "shape", "motion")


@register("prompt_accuracy")
class PromptAccuracy(ClipMetric):
    """Share of videos that show the colour, shape and motion of their MovingShapes prompt.

    Each video is compared with every true rendering in the given ranges (``vidiff_eval.oracle``).
    It is right if the nearest one has the colour, shape and motion that the prompt names, if its
    PSNR against that is at least ``min_psnr``, and if it is nearer to that than to a plain grey.
    Shares of right colours, shapes and motions stand beside it, and the mean PSNR in dB.

    Args:
        radius: smallest and largest half extent of the training data's shapes, in pixels.
        speed: smallest and largest speed of a shape that moves, in pixels per frame.
        background: darkest and lightest background, grey levels in [0, 1].
        min_psnr: in dB; no video below it is right.

    Raises:
        ValueError: if a range is empty, or if a shape that moves may stand still.

    Example:
        >>> from vidiff.data import MovingShapes
        >>> clip = MovingShapes(split="val")[0]
        >>> PromptAccuracy()(clip.pixels[None], [clip.caption])["prompt_accuracy"]
        1.0
    """

    scores = (
        "prompt_accuracy", *(f"{part}_accuracy" for part in PARTS), "oracle_psnr_db",
    )  # fmt: skip
    units = (*["share"] * 4, "dB")
    limits = (*[(0.0, 1.0)] * 4, (-inf, inf))
    higher_is_better = True
    needs_prompts = True
    marks = Marks(
        right="right", instead="found", score="oracle_psnr_db",
        label="PSNR to the nearest true video",
    )  # fmt: skip

    def __init__(
        self,
        radius: tuple[float, float] = (5.0, 8.0),
        speed: tuple[float, float] = (1.0, 2.0),
        background: tuple[float, float] = (0.0, 0.3),
        min_psnr: float = 18.0,
    ) -> None:
        self.features = Scene(Ranges(radius, speed, background))
        self.min_psnr = min_psnr

    @property
    def settings(self) -> dict[str, Any]:
        return {"min_psnr": self.min_psnr, "features": self.features.settings}

    def check_prompts(self, prompts: Sequence[str]) -> None:
        from vidiff.data.shapes import parse_caption

        for number, prompt in enumerate(prompts, start=1):
            try:
                parse_caption(prompt)
            except ValueError as error:
                raise ValueError(
                    f"prompt_accuracy cannot judge prompt {number} of {len(prompts)}: {error}"
                ) from error

    def judge(self, found: Found, prompts: Sequence[str]) -> list[Row]:
        from vidiff.data.shapes import COLOURS, MOTIONS, SHAPES, Combination, parse_caption

        rows = []
        for index, prompt in enumerate(prompts):
            asked = parse_caption(prompt)
            seen = Combination(
                list(COLOURS)[int(found["colour"][index])],
                SHAPES[int(found["shape"][index])],
                list(MOTIONS)[int(found["motion"][index])],
            )
            same = {part: getattr(asked, part) == getattr(seen, part) for part in PARTS}
            psnr, blank_psnr = float(found["psnr"][index]), float(found["blank_psnr"][index])
            right = psnr >= self.min_psnr and psnr > blank_psnr and all(same.values())
            rows.append(
                {
                    "prompt_accuracy": right,
                    **{f"{part}_accuracy": same[part] for part in PARTS},
                    "oracle_psnr_db": psnr,
                    "right": right,
                    "found": seen.caption,
                    "psnr_db": psnr,
                    "blank_psnr_db": blank_psnr,
                    "pose": {name: round(float(found[name][index]), 4) for name in POSE},
                }
            )
        return rows
