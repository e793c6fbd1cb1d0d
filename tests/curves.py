"""Curves of a run, as its logger leaves them behind."""

from __future__ import annotations

import math
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


def write_curves(folder: Path) -> None:
    """Event files of 1,000 steps: the losses of training and validation, and a learning rate."""
    with SummaryWriter(str(folder)) as writer:
        for step in range(0, 1000, 10):
            writer.add_scalar("train/loss", math.exp(-step / 200) + 0.01, step)
            writer.add_scalar("lr", 0.1, step)
        for step in (0, 500, 999):
            writer.add_scalar("val/loss", math.exp(-step / 200) + 0.02, step)
