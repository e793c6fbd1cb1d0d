"""The encoders of a task: their hashes, and how checkpoints name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from torch import nn

from vidiff.autoencoders import Autoencoder
from vidiff.checkpoints import Checkpoint
from vidiff.config_nodes import Node, build
from vidiff.external import Named, check_named, named
from vidiff.fingerprints import weights_hash
from vidiff.model import Factories


class Encoders:
    """The autoencoder and the conditions, which encoding a dataset needs; ``nodes`` build them."""

    autoencoder: Autoencoder
    conditions: nn.ModuleDict

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        self.nodes = nodes
        self._adopted: Node | None = None

    def adopt(self, checkpoint: Checkpoint) -> None:
        """Take the autoencoder, which must not be built yet, from a checkpoint."""
        if hasattr(self, "autoencoder"):
            raise ValueError("adopt a checkpoint before configure_model() builds the parts")
        self._adopted = checkpoint.get("autoencoder")  # none for one in a folder, which is read

    def build(self, factories: Factories) -> tuple[Autoencoder, nn.ModuleDict]:
        """Build both."""
        if self._adopted:
            adopted = partial(build, self._adopted, Autoencoder)  # type: ignore[type-abstract]
            factories = replace(factories, autoencoder=adopted)
        self.autoencoder, self.conditions = factories.make_encoders()
        return self.autoencoder, self.conditions

    @property
    def autoencoder_node(self) -> Node:
        """How the autoencoder is built, whatever file it came from."""
        return self.autoencoder.node or self._adopted or self.nodes["autoencoder"]

    def hashes(self) -> tuple[str, dict[str, str]]:
        """Hashes of the autoencoder and, by name, of the frozen conditions."""
        frozen = {name: part for name, part in self.conditions.items() if part.frozen}
        nodes = self.nodes["conditions"]
        return (
            weights_hash(self.autoencoder, self.autoencoder_node),
            {name: weights_hash(part, nodes[name]) for name, part in frozen.items()},
        )

    @cached_property
    def named(self) -> Named:
        """The encoders that checkpoints name instead of holding them; their hashes, once."""
        return named(self.autoencoder, self.conditions, self.nodes)

    def held(self) -> dict[str, Any]:
        """What a checkpoint says of the encoders besides their weights."""
        if "autoencoder" in self.named:
            return {"named": self.named}
        return {"named": self.named, "autoencoder": self.autoencoder_node}

    def check(self, checkpoint: Checkpoint) -> None:
        """Refuse (``ValueError``) a checkpoint that names other encoders, or other weights."""
        if held := checkpoint.get("named"):
            check_named(held, self.named)
