"""Ctrl-C and SIGTERM end training after a step that all processes agree on."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Hears SIGINT and SIGTERM while training goes on, instead of Lightning.

    The first is remembered, for whoever saves a checkpoint after the step. A second Ctrl-C ends the
    process at once. Lightning's own handlers come back when its trainer is torn down.
    """

    def __init__(self) -> None:
        self.number = 0
        """The signal that was heard; 0 for none."""
        self.at_once = False
        """Whether training was ended in the middle of something else than a step."""
        self._agreement: Agreement | None = None

    def listen(self, trainer: Trainer, may_end_now: Callable[[], bool]) -> None:
        """Begin, in all processes together; ``may_end_now`` decides when a signal comes."""
        self.may_end_now, self.speaks = may_end_now, trainer.is_global_zero
        self.at_once = False
        self.number = signal.SIGTERM if trainer.received_sigterm else 0  # before training began
        self._agreement = Agreement() if trainer.world_size > 1 else None
        if self._agreement is not None:
            # Lightning's waits for the device in each step.
            loop = trainer.fit_loop.epoch_loop
            loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    signal.signal(number, self._hear)

    def agreed(self) -> int:
        """The signal after which this step is the last, or 0; all processes ask after each step."""
        return self._agreement.ask(self.number) if self._agreement else self.number

    def finish(self) -> None:
        """Training ends by itself."""
        if self._agreement is not None:
            self._agreement.finish()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        again = bool(self.number)
        if again and number == signal.SIGTERM:  # often sent to a process and to its group
            return
        self.number = self.number or number
        if again or self.may_end_now():
            self.at_once = not again
            end(number)
        if self.speaks:
            print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr)


class Agreement:
    """Lets processes learn of the same wish in the same step, and wait for nobody.

    What is asked in one step is answered in the next: by then all have asked. It goes by way of the
    CPUs, so that no GPU is waited for.
    """

    def __init__(self) -> None:
        group = dist.new_group(backend="gloo")
        assert isinstance(group, dist.ProcessGroup), "all processes are members"
        self._group = group
        self._asked: tuple[dist.Work, Tensor] | None = None

    def ask(self, wish: int) -> int:
        """The largest wish of all processes when they asked before; 0 the first time."""
        answer = self.finish()
        asked = torch.tensor([wish])
        work = dist.all_reduce(asked, dist.ReduceOp.MAX, group=self._group, async_op=True)
        assert work is not None
        self._asked = work, asked
        return answer

    def finish(self) -> int:
        """The answer that is outstanding."""
        if self._asked is None:
            return 0
        work, asked = self._asked
        self._asked = None
        work.wait()
        return int(asked)


def end(number: int) -> None:
    """End this process as the signal does."""
    raise KeyboardInterrupt if number == signal.SIGINT else SIGTERMException
