"""Protocols: everything that has to be said of a score for another to be comparable with it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from vidiff.registry import nearest

Begin = Literal["start", "middle", "random"]
Resize = Literal["stretch", "stretch_corners", "crop"]
Covariance = Literal["n-1", "n"]


@dataclass(frozen=True)
class Protocol:
    """Which clips are compared, and how those reach the network of a video distance.

    Attributes:
        name: for people; not part of the fingerprint.
        num_frames: of a clip; None takes whole files, which must then be of one length.
        stride: frames of the file from one frame of the clip to the next.
        generated_stride: the same of generated videos, where it differs: mostly of models whose
            training skipped frames, and whose videos hold only those that it saw; None is
            ``stride``.
        fps: frames per second that files are read at, before ``stride``; None is the file's own.
        size: (height, width) that clips are read at: scaled to cover it, centre cropped; None is
            the file's own, which must then be the same for all files of both sides.
        real_clip: where in a real video a clip begins; ``random`` is drawn from ``seed`` and the
            file's content, so that it depends on no other file.
        generated_clip: the same of generated videos.
        clips_per_video: clips of one video, one after the other from where the first begins.
        num_clips: of each side at most, chosen by ``seed`` and content; None is all.
        seed: decides what is random.
        resize: to the network's size: ``stretch`` (bilinear between pixel centres, no antialias),
            ``stretch_corners`` (the same between pixel corners, as TensorFlow 1 did), or ``crop``
            (short side, then centre crop; bilinear between pixel centres, no antialias).
        to_uint8: whether pixels are cut to whole grey levels before resizing, as tools that keep
            videos as bytes do; pixels of files at their own size are whole already.
        batch_norm_eps: of I3D: 1e-3 is TensorFlow's, 1e-5 that of some copies.
        covariance: what scatter is divided by.
        split: which part of the real data was used, in words.

    Raises:
        ValueError: if a value is out of its range.
    """

    name: str = "vidiff"
    num_frames: int | None = 16
    stride: int = 1
    generated_stride: int | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    real_clip: Begin = "random"
    generated_clip: Begin = "random"
    clips_per_video: int = 1
    num_clips: int | None = None
    seed: int = 0
    resize: Resize = "stretch"
    to_uint8: bool = False
    batch_norm_eps: float = 1e-3
    covariance: Covariance = "n-1"
    split: str = ""

    def __post_init__(self) -> None:
        for name in ("num_frames", "stride", "generated_stride", "clips_per_video", "num_clips"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"a protocol's {name} must be at least 1, got {value}")
        if self.fps is not None and not self.fps > 0:
            raise ValueError(f"a protocol's fps must be positive, got {self.fps}")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"a protocol's size is a height and a width, got {self.size}")
        if self.num_frames is None and self.clips_per_video > 1:
            raise ValueError("whole files hold one clip each: set num_frames or clips_per_video 1")

    def stride_of(self, side: str) -> int:
        """Frames of a file from one of a clip to the next, on side ``real`` or ``generated``."""
        return (self.generated_stride if side != "real" else None) or self.stride

    @property
    def record(self) -> dict[str, Any]:
        """What decides the clips and what the network sees of them, as plain values."""
        values = asdict(self)
        del values["name"]
        return {**values, "size": list(self.size) if self.size else None}

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that equal protocols share, whatever they are called."""
        return fingerprint(self.record)

    def change(self, **changes: Any) -> Protocol:
        """The protocol with other values; its name says which.

        Raises:
            ValueError: if there is no such value, or it is out of its range.
        """
        known = [field.name for field in fields(self) if field.name != "name"]
        if unknown := [name for name in changes if name not in known]:
            raise ValueError(
                f"a protocol has no {unknown[0]!r}{nearest(unknown[0], known)}; "
                f"known: {', '.join(known)}"
            )
        news = {name: value for name, value in changes.items() if value != getattr(self, name)}
        words = [f"{name} {value}" for name, value in news.items()]
        return replace(self, name=", ".join([self.name, *words]), **news)


def fingerprint(record: Any) -> str:
    """The first sixteen hexadecimal digits of the SHA-256 of plain values."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
