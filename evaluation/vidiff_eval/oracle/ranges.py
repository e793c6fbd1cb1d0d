"""The ranges that MovingShapes scenes are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Ranges:
    """What scenes are drawn from; see ``vidiff.data.MovingShapes``.

    Attributes:
        radius: smallest and largest half extent, in pixels.
        speed: smallest and largest speed of a shape that moves, in pixels per frame.
        background: darkest and lightest grey level, in [0, 1].

    Raises:
        ValueError: if a range is empty, or if a shape that moves may stand still.
    """

    radius: Bounds
    speed: Bounds
    background: Bounds

    def __post_init__(self) -> None:
        for name, least in {"radius": 0.5, "speed": 0.01, "background": 0.0}.items():
            low, high = getattr(self, name)
            if not least <= low <= high:
                raise ValueError(
                    f"{name} must be {least:g} <= smallest <= largest, got {[low, high]}; "
                    "set it to the range that the training data was drawn from"
                )
        if self.background[1] > 1:
            raise ValueError(f"background is in [0, 1], got {list(self.background)}")

    def check(self, num_frames: int, height: int, width: int) -> None:
        """Raise a ``ValueError`` if videos of this size cannot hold every scene."""
        if num_frames < 2:
            raise ValueError("a motion cannot be told from one frame; give videos of two or more")
        needed = 2 * self.radius[1] + self.speed[1] * (num_frames - 1)
        if needed > min(height, width):
            raise ValueError(
                f"a shape of radius {self.radius[1]:g} at {self.speed[1]:g} pixels per frame needs "
                f"{needed:g} pixels for {num_frames} frames, but the videos are {height}x{width}: "
                "set radius and speed to the ranges that the training data was drawn from"
            )
