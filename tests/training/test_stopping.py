"""Ctrl-C and SIGTERM: saved after the step, and the resumed run equals one that never stopped."""

import json
import os
import signal

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from run_tiny import make_data, make_task
from test_resume import assert_same, read
from test_tasks import trainer

from vidiff.training.callbacks import SaveCheckpoint
from vidiff.training.stopping import StopSignals


class Tell(Callback):
    """Sends this process signals in one hook at one step."""

    def __init__(self, hook, step, *numbers):
        self.step, self.numbers = step, [*numbers]
        setattr(self, hook, self.tell)

    def tell(self, trainer, *_):
        if trainer.state.fn == "fit" and trainer.global_step == self.step:
            while self.numbers:
                os.kill(os.getpid(), self.numbers.pop(0))


class Steps(Callback):
    def __init__(self):
        self.trained, self.validated = [], []

    def on_train_batch_end(self, trainer, *_):
        self.trained.append(trainer.global_step)

    def on_validation_end(self, trainer, *_):
        if not trainer.sanity_checking:
            self.validated.append(trainer.global_step)


def fit(folder, *callbacks, every=100, ckpt=None, **settings):
    """Seven steps, epochs of four, validated after each second."""
    steps, task = Steps(), make_task()
    save = SaveCheckpoint(every_n_steps=every)
    settings = {"max_steps": 7, "limit_val_batches": 1.0, "val_check_interval": 2} | settings
    run = trainer(folder, callbacks=[*callbacks, steps, save], **settings)
    try:
        run.fit(task, make_data(), ckpt_path=ckpt, weights_only=True)
    finally:
        steps.stopped_at = save.stopped_at
        fit.steps = steps
    return task


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    fit(folder)
    return read(folder / "checkpoints" / "last.ckpt"), fit.steps


@pytest.mark.parametrize(
    ("hook", "step", "number", "stops_at"),
    [
        ("on_train_batch_start", 2, signal.SIGINT, 3),  # in the middle of an epoch
        ("on_before_zero_grad", 3, signal.SIGTERM, 4),  # at the end of one
        ("on_validation_batch_start", 2, signal.SIGINT, 2),
        ("on_validation_epoch_end", 4, signal.SIGTERM, 4),  # at the end of an epoch
    ],
)
def test_a_run_that_is_told_to_end_saves_and_goes_on_bit_for_bit(
    tmp_path, uninterrupted, hook, step, number, stops_at
):
    with pytest.raises((SystemExit, SIGTERMException)):  # Lightning turns Ctrl-C into an exit
        fit(tmp_path, Tell(hook, step, number))
    assert fit.steps.stopped_at == stops_at
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert read(last)["global_step"] == stops_at
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "stopped"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    before = fit.steps
    fit(tmp_path, ckpt=last)
    expected, steps = uninterrupted
    assert before.trained + fit.steps.trained == steps.trained
    if hook.startswith("on_validation"):  # begun again
        assert before.validated + fit.steps.validated == steps.validated
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_same(expected[part], read(last)[part], part)


def test_a_second_ctrl_c_ends_at_once_and_saves_nothing(tmp_path):
    twice = Tell("on_train_batch_start", 5, signal.SIGINT, signal.SIGINT)
    with pytest.raises(SystemExit):
        fit(tmp_path, twice, every=2)
    assert fit.steps.stopped_at is None
    assert fit.steps.trained == [1, 2, 3, 4, 5]
    assert read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 4


def test_sigterm_that_comes_twice_is_one(tmp_path):
    """Queues send it to a process and to its group."""
    twice = Tell("on_train_batch_start", 1, signal.SIGTERM, signal.SIGTERM)
    with pytest.raises(SIGTERMException):
        fit(tmp_path, twice)
    assert fit.steps.stopped_at == 2


def test_half_a_step_is_not_saved(tmp_path):
    """Gradients of two batches make a step: it is waited for."""
    tell = Tell("on_train_batch_start", 1, signal.SIGINT)
    with pytest.raises(SystemExit):
        fit(tmp_path, tell, accumulate_grad_batches=2, val_check_interval=1.0)
    assert fit.steps.stopped_at == 2
    assert len(fit.steps.trained) == 4


def test_the_last_step_is_saved_before_what_follows_it_can_fail(tmp_path):
    class Fail(Callback):
        def on_train_end(self, *_):
            raise RuntimeError("no more paper")

    with pytest.raises(RuntimeError, match="no more paper"):
        fit(tmp_path, Fail())
    assert read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 7


def test_ctrl_c_after_the_last_step_ends_at_once(tmp_path):
    seen = []

    class Later(Callback):
        def on_train_end(self, *_):
            seen.append("sampled")

    with pytest.raises(SystemExit):
        fit(tmp_path, Tell("on_train_end", 7, signal.SIGINT), Later())
    assert not seen
    assert read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 7


def test_a_run_that_ignores_ctrl_c_goes_on_ignoring_it(tmp_path):
    """As one under nohup does."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        fit(tmp_path, Tell("on_train_batch_start", 1, signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert fit.steps.trained == list(range(1, 8))


def test_signals_are_told_apart():
    signals = StopSignals()
    signals.may_end_now, signals.speaks = (lambda: False), False
    assert signals.agreed() == 0
    signals._hear(signal.SIGTERM, None)
    assert signals.agreed() == signal.SIGTERM
    with pytest.raises(KeyboardInterrupt):
        signals._hear(signal.SIGINT, None)
