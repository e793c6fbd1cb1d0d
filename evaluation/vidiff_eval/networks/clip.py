"""CLIP from a folder of this machine (Radford et al. 2021): what its layouts have in common."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor

from vidiff_eval.networks.exact import exact
from vidiff_eval.networks.frames import Preparation
from vidiff_eval.networks.weights import sha256
from vidiff_eval.protocols.protocol import fingerprint

TOKENIZERS = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "spiece.model")
"""Files that say how prompts are cut into tokens."""

PROMPTS_AT_ONCE = 64


class CLIPFolder(ABC):
    """A network that maps pictures and prompts to vectors, whose angle says how well they fit.

    Nothing is downloaded, and no code of the folder is run. Weights are read when they are first
    needed.

    Args:
        folder: that holds it.

    Attributes:
        layout: whose way it is to name and fill the folder's files.
    """

    layout: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @abstractmethod
    def missing(cls, folder: Path) -> list[str]:
        """The files that a folder lacks to be of this layout."""

    @abstractmethod
    def weights(self) -> list[Path]:
        """The files that weights are read from."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """What kind of network it is, and all that its configuration says of it."""

    @property
    @abstractmethod
    def preparation(self) -> Preparation:
        """How frames become its input.

        Raises:
            ValueError: if the folder asks for a way that is not supported.
        """

    @property
    @abstractmethod
    def network(self) -> Any:
        """The network, a module, with its weights; on the CPU at first.

        Raises:
            ValueError: if the weights are damaged or do not fit.
        """

    @abstractmethod
    def tokens(self, prompts: Sequence[str]) -> tuple[dict[str, Tensor], int]:
        """Prompts as the text part takes them, and how many were too long and have been cut."""

    @abstractmethod
    def _pictures(self, inputs: Tensor) -> Tensor: ...

    @abstractmethod
    def _texts(self, tokens: dict[str, Tensor]) -> Tensor: ...

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that decides the vectors: plain values."""
        digests = [sha256(path) for path in self.weights()]
        kept = (self.folder / name for name in TOKENIZERS)
        tokenizer = {path.name: sha256(path) for path in kept if path.is_file()}
        return {
            "network": "clip",
            "layout": self.layout,
            **self.architecture(),
            "weights_sha256": digests[0] if len(digests) == 1 else digests,
            "tokenizer": fingerprint(tokenizer) if tokenizer else f"of {self.layout}",
            "preparation": self.preparation.record,
        }

    def embed_pictures(self, inputs: Tensor) -> Tensor:
        """Prepared pictures (n, 3, h, w) to vectors (n, d) of any length, on the same device."""
        self.network.to(inputs.device)
        with exact():
            return self._pictures(inputs)

    def embed_texts(
        self, prompts: Sequence[str], device: torch.device | str = "cpu"
    ) -> tuple[Tensor, int]:
        """Prompts to vectors (n, d) of any length, on the CPU, and how many prompts were cut."""
        self.network.to(device)
        found, num_cut = [], 0
        for start in range(0, len(prompts), PROMPTS_AT_ONCE):
            tokens, cut = self.tokens(prompts[start : start + PROMPTS_AT_ONCE])
            with exact():
                vectors = self._texts({name: ids.to(device) for name, ids in tokens.items()})
            found.append(vectors.float().cpu())
            num_cut += cut
        return torch.cat(found), num_cut


def require(package: str) -> ModuleType:
    """Import a package that is needed only here.

    Raises:
        ValueError: if it is not installed; says how to.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ValueError(
            f"this CLIP needs the package {package} ({error}): pip install 'vidiff[clip]'"
        ) from error


def in_a_line(error: Exception) -> str:
    """What an error of a library says, in one line that is not too long."""
    return " ".join((str(error) or type(error).__name__).split())[:300]
