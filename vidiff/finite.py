"""NaN and infinity are found without a wait: noted on the device, and read once at the end."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class FiniteNotes:
    """Remembers in which order tensors were seen, and on the device whether each was finite."""

    def __init__(self) -> None:
        self._places: list[str] = []
        self._finite: list[Tensor] = []

    def note(self, place: str, *tensors: Tensor) -> None:
        """Look at tensors; ``place`` says in the message what and where they are."""
        for tensor in tensors:
            self._places.append(place)
            self._finite.append(tensor.detach().isfinite().all())

    def check(self) -> None:
        """Raise a ``FloatingPointError`` that names the first bad place; waits for the device."""
        if not self._finite:
            return
        device = self._finite[-1].device
        finite = torch.stack([flag.to(device) for flag in self._finite]).tolist()
        if bad := next((p for p, ok in zip(self._places, finite, strict=True) if not ok), None):
            raise FloatingPointError(f"{bad}: NaN or infinity")


def bad_weight(modules: Iterable[tuple[str, nn.Module | None]]) -> str | None:
    """The name of the first weight or buffer of named modules that holds NaN or infinity."""
    for prefix, module in modules:
        for name, value in module.state_dict().items() if module is not None else ():
            if value.is_floating_point() and not value.isfinite().all():
                return f"{prefix}.{name}"
    return None
