"""The parts of a task, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters: of those that need a gradient, and of the others."""

    trained: int
    frozen: int

    @classmethod
    def of(cls, *modules: nn.Module) -> Parameters:
        """Those of modules together."""
        own = {id(p): p for module in modules for p in module.parameters()}.values()
        trained = sum(p.numel() for p in own if p.requires_grad)
        return cls(trained, sum(p.numel() for p in own) - trained)

    @property
    def total(self) -> int:
        """Of both."""
        return self.trained + self.frozen


def each_part(parts: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Parts by name; those that stand in a dictionary, as conditions do, each by itself."""
    found: dict[str, nn.Module] = {}
    for name, part in parts.items():
        held = isinstance(part, nn.ModuleDict)
        found |= {f"{name}.{key}": x for key, x in part.named_children()} if held else {name: part}
    return found


def parts_of(task: nn.Module) -> dict[str, nn.Module]:
    """A task's parts by name, without the moving average, which is a copy of what is trained."""
    return {name: part for name, part in task.named_children() if name != "ema"}
