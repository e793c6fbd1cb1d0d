"""Evaluation for vidiff: metrics, and the commands ``evaluate`` and ``report``.

The first plugin of vidiff: importing this package registers what it brings, and no more. What is
slow to import (torchmetrics, PyAV) is imported when it is used; Lightning and the model's code
never are.
"""

from vidiff_eval import commands, metrics, reconstruction

__all__ = ["commands", "metrics", "reconstruction"]
