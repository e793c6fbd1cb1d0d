"""Beginning a run from weights alone: those of another run, or imported ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from vidiff.checkpoints import read_checkpoint
from vidiff.formatting import listed
from vidiff.registry import nearest


@dataclass
class Start:
    """Which weights a run begins from, see ``VidiffTrainer.fit``."""

    checkpoint: str
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()


@dataclass
class Taken:
    """What became of each tensor, by name; of misfits, the shape here and there."""

    taken: list[str] = field(default_factory=list)
    misfits: dict[str, tuple[Sequence[int], Sequence[int]]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """In the checkpoint, and not asked for or unknown here."""

    def lines(self) -> list[str]:
        """What a user has to know, a line for each kind that there is."""
        shapes = [f"{name} {list(a)}, there {list(b)}" for name, (a, b) in self.misfits.items()]
        lines = [f"taken: {_by_part(self.taken)}"]
        if shapes:
            lines.append(f"did not fit, stays as built: {listed(shapes)}")
        if self.missing:
            lines.append(f"not in the checkpoint, stays as built: {_by_part(self.missing)}")
        if self.left:
            lines.append(f"left in the checkpoint: {_by_part(self.left)}")
        return lines


@torch.no_grad()
def take_weights(task: nn.Module, start: Start) -> Taken:
    """Copy a checkpoint's weights, averaged ones if there are any, into a task without average.

    Raises:
        ValueError: if the checkpoint cannot be read, a pattern means nothing, no tensor fits, or
            one holds NaN.
    """
    own = task.state_dict()
    wanted = set(_asked(task, own, start))
    state: Mapping[str, Tensor] = read_checkpoint(start.checkpoint)["state_dict"]
    held = {k: v for k, v in state.items() if not k.startswith("ema.")}
    held |= {k.removeprefix("ema."): v for k, v in state.items() if k.startswith("ema.")}
    found = Taken(left=[name for name in held if name not in wanted])
    for name in own:
        if name not in wanted:
            continue
        if name not in held:
            found.missing.append(name)
        elif held[name].shape != own[name].shape:
            found.misfits[name] = own[name].shape, held[name].shape
        elif not held[name].isfinite().all():
            raise ValueError(
                f"--init_from {start.checkpoint}: {name} holds NaN or infinity: take a checkpoint "
                "from before training went wrong"
            )
        else:
            own[name].copy_(held[name])
            found.taken.append(name)
    if not found.taken:
        raise ValueError(
            f"--init_from {start.checkpoint}: nothing in it fits this model. "
            f"{'; '.join(found.lines()[1:])}"
        )
    return found


def _asked(task: nn.Module, own: Iterable[str], start: Start) -> list[str]:
    """Names of the task's tensors that are asked for."""
    names, exclude = list(own), start.exclude
    include = start.include or sorted(
        {name.partition(".")[0] for name, p in task.named_parameters() if p.requires_grad}
    )
    for pattern in (*include, *exclude):
        if not any(_means(pattern, name) for name in names):
            parts = sorted({name.partition(".")[0] for name in names})
            raise ValueError(
                f"--init_from: no weight of this model is called {pattern!r}"
                f"{nearest(pattern, [*parts, *names])}; its parts: {', '.join(parts)}"
            )
    wanted = [name for name in names if any(_means(pattern, name) for pattern in include)]
    return [name for name in wanted if not any(_means(pattern, name) for pattern in exclude)]


def _means(pattern: str, name: str) -> bool:
    """Whether a part, a module within it, or a shell pattern means a tensor."""
    return name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def _by_part(names: Sequence[str]) -> str:
    counts = Counter(name.partition(".")[0] for name in names)
    parts = ", ".join(f"{part} {count}" for part, count in counts.items())
    shown = f" ({listed(names)})" if 0 < len(names) <= 3 else ""
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'}: {parts}{shown}" if names else "0"
