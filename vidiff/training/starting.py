"""Beginning a run from weights alone: those of another run, or imported ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from vidiff.checkpoints import read_checkpoint
from vidiff.registry import nearest
from vidiff.units import listed


@dataclass
class Start:
    """Which weights a run begins from.

    Attributes:
        checkpoint: a file or folder that a vidiff task or ``import-weights`` wrote.
        include: parts, modules or shell patterns of names; all parts that are trained, if empty.
        exclude: the same, of what stays as it is built.
    """

    checkpoint: str
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()


@dataclass
class Taken:
    """What became of each tensor, by name.

    Attributes:
        taken: from the checkpoint.
        misfits: of another shape there: ours and theirs.
        missing: not in the checkpoint.
        left: in the checkpoint, and not asked for or unknown here.
    """

    taken: list[str] = field(default_factory=list)
    misfits: dict[str, tuple[Sequence[int], Sequence[int]]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What a user has to know, a line for each kind that there is."""
        misfits = [
            f"{name} {list(ours)}, there {list(theirs)}"
            for name, (ours, theirs) in self.misfits.items()
        ]
        return [
            line
            for line in (
                f"taken: {_by_part(self.taken)}",
                misfits and f"did not fit, stays as built: {listed(misfits)}",
                self.missing and f"not in the checkpoint, stays as built: {_by_part(self.missing)}",
                self.left and f"left in the checkpoint: {_by_part(self.left)}",
            )
            if line
        ]


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
    names = list(own)
    include = start.include or sorted(
        {name.partition(".")[0] for name, p in task.named_parameters() if p.requires_grad}
    )
    for pattern in (*include, *start.exclude):
        if not any(_means(pattern, name) for name in names):
            parts = sorted({name.partition(".")[0] for name in names})
            raise ValueError(
                f"--init_from: no weight of this model is called {pattern!r}"
                f"{nearest(pattern, [*parts, *names])}; its parts: {', '.join(parts)}"
            )
    return [
        name
        for name in names
        if any(_means(p, name) for p in include) and not any(_means(p, name) for p in start.exclude)
    ]


def _means(pattern: str, name: str) -> bool:
    """Whether a part, a module within it, or a shell pattern means a tensor."""
    return name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def _by_part(names: Sequence[str]) -> str:
    counts = Counter(name.partition(".")[0] for name in names)
    parts = ", ".join(f"{part} {count}" for part, count in counts.items())
    shown = f" ({listed(names)})" if 0 < len(names) <= 3 else ""
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'}: {parts}{shown}" if names else "0"
