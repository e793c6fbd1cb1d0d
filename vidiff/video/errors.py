"""Errors of video files."""

from __future__ import annotations

import os
from pathlib import Path


class VideoError(ValueError):
    """A file that cannot give the clip asked for; names the file, the reason, and what to do."""

    def __init__(self, path: str | os.PathLike[str], reason: str, next_step: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}; {next_step}")
        self.path, self.reason, self.next_step = Path(path), reason, next_step

    def __reduce__(self) -> tuple[type[VideoError], tuple[str, str, str]]:
        return VideoError, (str(self.path), self.reason, self.next_step)


def words(error: BaseException) -> str:
    """The system's words for an error."""
    return getattr(error, "strerror", None) or str(error)
