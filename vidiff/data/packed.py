"""Many strings in little memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np


class PackedStrings(Sequence[str]):
    """Many strings in two arrays.

    A list of millions of ``str`` costs several times its letters, and each data loader process
    gets a copy of it, as counting references writes to its pages.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        # surrogateescape: file names may be any bytes.
        parts = [string.encode("utf-8", "surrogateescape") for string in strings]
        self._ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        self._letters = np.frombuffer(b"".join(parts), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"string {index} of {len(self)}")
        index %= len(self)
        begin = self._ends[index - 1] if index else 0
        return self._letters[begin : self._ends[index]].tobytes().decode("utf-8", "surrogateescape")
