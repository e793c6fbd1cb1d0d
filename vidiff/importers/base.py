"""What an importer promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from vidiff.building import Node
from vidiff.types import Grid
from vidiff.weight_files import Weights


@dataclass
class Imported:
    """A published model in vidiff's terms.

    Attributes:
        arguments: of the ``DiffusionTask``, as config nodes.
        weights: the task's state, by vidiff's names.
        clip_size: frames, height and width of what its autoencoder encoded for training: pixels, or
            latents where it has none.
    """

    arguments: Node
    weights: Weights
    clip_size: Grid


class Importer(ABC):
    """Knows the names and the layout of one code base's weights."""

    @abstractmethod
    def read(self, weights: Weights, num_heads: int | None) -> Imported:
        """Translate a published state dict.

        Args:
            weights: tensors by their published names.
            num_heads: attention heads, which no tensor tells; those of the published models of
                this width, if it is None.

        Raises:
            ValueError: if a tensor is missing, left over or has another shape, or the heads are
                not known.
        """
