"""Losses that are not finite or stay zero stop training, and leave the last good checkpoint."""

from functools import partial

import pytest
import torch
from run_tiny import make_adversarial_task, make_data
from test_tasks import trainer
from torch import nn

from vidiff.discriminators import Discriminator
from vidiff.training.callbacks import SaveCheckpoint
from vidiff.training.guard import FiniteGuard, ZeroGuard


def alone(steps, reduce_op):
    return steps


def test_finite_guard_names_the_first_step_and_term():
    guard = FiniteGuard()
    assert guard.check(alone)
    for step, (loss, kl) in enumerate([(1.0, 2.0), (1.0, float("inf")), (float("nan"), 1.0)]):
        guard.watch(step, {"loss": torch.tensor(loss), "kl": torch.tensor(kl)})
        if step == 0:
            assert guard.check(alone)
    with pytest.raises(FloatingPointError, match="kl was not finite at step 1"):
        guard.check(alone)


def test_zero_guard_counts_steps_in_a_row():
    guard = ZeroGuard(("a", "b"), patience=4, advice="Do this.")
    for step, value in enumerate([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]):
        guard.watch(step, {"a": torch.tensor(value), "b": torch.tensor(1.0), "c": torch.zeros(())})
        assert guard.check(alone) == (value != 0)  # in doubt as soon as it is zero
    guard.watch(7, {"a": torch.tensor(-0.0), "b": torch.tensor(1.0)})
    with pytest.raises(
        FloatingPointError, match=r"a has been zero for 4 steps, since step 4.*Do t"
    ):
        guard.check(alone)


def test_zero_on_one_process_is_not_zero():
    guard = ZeroGuard(("a",), patience=1, advice="")
    guard.watch(0, {"a": torch.zeros(())})
    assert guard.check(lambda steps, reduce_op: steps.clamp(min=2**62))


def test_zero_in_one_accumulated_batch_is_not_zero():
    guard = ZeroGuard(("a",), patience=2, advice="")
    for step in range(3):
        for value in (1.0, 0.0):
            guard.watch(step, {"a": torch.tensor(value)})
    assert not guard.check(alone)  # in doubt since the last batch, and no longer


class Told(Discriminator):
    """Wins from one step to another, counted from its first, or says NaN from one on."""

    def __init__(self, wins_at=0, loses_at=10**9, spoils_at=10**9):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.calls, self.wins_at, self.loses_at, self.spoils_at = 0, wins_at, loses_at, spoils_at

    def forward(self, pixels):
        """Reconstructions come second and third of a step's three calls."""
        step, turn = divmod(self.calls, 3)
        self.calls += 1
        logits = self.weight * pixels.mean((1, 2, 3, 4), keepdim=True)
        if step >= self.spoils_at and turn:
            return logits * float("nan")
        if self.wins_at <= step < self.loses_at:
            return logits + (-9.0 if turn else 9.0)
        return logits


def fit(folder, discriminator, max_steps=40, collapse_steps=6, every_n_steps=1):
    task = make_adversarial_task(
        discriminator=discriminator, adversarial_start=2, collapse_steps=collapse_steps
    )
    save = SaveCheckpoint(every_n_steps=every_n_steps)
    trainer(folder, max_steps=max_steps, callbacks=[save]).fit(task, make_data())


def saved(folder, name="last.ckpt"):
    return torch.load(folder / "checkpoints" / name, weights_only=True)


def test_a_discriminator_that_wins_at_once_is_reported(tmp_path):
    error = r"discriminator has been zero for \d+ steps, since step 5:.*adversarial_start"
    with pytest.raises(FloatingPointError, match=error):
        fit(tmp_path, partial(Told, wins_at=3))  # the adversary begins at step 2
    # After step 4, and before the first step of which the loss was zero.
    assert saved(tmp_path)["global_step"] == 5
    assert [p.name for p in (tmp_path / "checkpoints").glob("step_*")] == ["step_00000005.ckpt"]


def test_a_discriminator_that_says_nan_is_reported(tmp_path):
    error = r"(adaptive_weight|adversarial) was not finite at step 4"
    with pytest.raises(FloatingPointError, match=error):
        fit(tmp_path, partial(Told, wins_at=10**9, spoils_at=2))
    state = saved(tmp_path)
    assert state["global_step"] == 4
    assert all(v.isfinite().all() for v in state["state_dict"].values())


def test_weights_that_an_update_spoiled_are_not_saved(tmp_path):
    class Spoil(SaveCheckpoint):
        def on_train_batch_end(self, trainer, task, *rest):
            if trainer.global_step == 3:
                with torch.no_grad():
                    next(task.autoencoder.parameters()).fill_(torch.nan)
            super().on_train_batch_end(trainer, task, *rest)

    run = trainer(tmp_path, callbacks=[Spoil(every_n_steps=1)])
    with pytest.raises(FloatingPointError, match="a weight was not finite at step 3"):
        run.fit(make_adversarial_task(adversarial_start=99), make_data())
    assert saved(tmp_path)["global_step"] == 2


def test_a_run_that_ends_in_doubt_keeps_both(tmp_path):
    with pytest.warns(UserWarning, match="the last good checkpoint is kept"):
        fit(tmp_path, partial(Told, wins_at=3), max_steps=8)
    assert saved(tmp_path)["global_step"] == 5
    assert saved(tmp_path, "doubtful_step_00000008.ckpt")["global_step"] == 8


def test_a_checkpoint_is_made_up_for_once_the_doubt_is_over(tmp_path):
    """Due after step 4, in doubt during steps 3 and 4; asked for again at each log, every two."""
    with pytest.raises(FloatingPointError, match="not finite at step 7"):
        fit(tmp_path, partial(Told, wins_at=1, loses_at=3, spoils_at=5), every_n_steps=4)
    assert saved(tmp_path)["global_step"] == 6


def test_no_patience_no_stop(tmp_path):
    fit(tmp_path, Told, max_steps=12, collapse_steps=0)
    assert saved(tmp_path)["global_step"] == 12
