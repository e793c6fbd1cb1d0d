"""Evaluation for vidiff: metrics with their protocols, and ``evaluate``, ``compare``, ``report``.

The first plugin of vidiff: importing this package registers what it brings, and no more. What is
slow to import (torchmetrics, PyAV) is imported when it is used; Lightning and the model's code
never are.
"""

from vidiff_eval import commands, doctor, features, metrics, reconstruction
from vidiff_eval.metrics import *  # noqa: F403 - each metric is vidiff_eval.NAME too
from vidiff_eval.metrics import __all__ as _metrics
from vidiff_eval.protocols.presets import get_protocol
from vidiff_eval.protocols.protocol import Protocol

__all__ = ["Protocol", "commands", "doctor", "features", "get_protocol", "metrics"]
__all__ += ["reconstruction", *_metrics]
