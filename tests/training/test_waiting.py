"""An ordinary step never waits for its device, or a GPU would wait for the next step's launches."""

import traceback

import pytest
import torch
from lightning.pytorch import Callback
from run_tiny import make_adversarial_task, make_data, make_task
from torch.utils._python_dispatch import TorchDispatchMode

from vidiff.autoencoders import Identity
from vidiff.conditions import Frames, Labels, Words
from vidiff.costs.fake_device import fake_device
from vidiff.model import merged
from vidiff.training.task import Task
from vidiff.training.trainer import VidiffTrainer

ON_CPU = ("vidiff/data/base.py", "vidiff/autoencoders/base.py")
"""Where clips are checked that have not reached a device."""


class Waits(TorchDispatchMode):
    """Counts what waits for a GPU: values that are read, and copies that are not asynchronous."""

    def __init__(self, device):
        super().__init__()
        self.device, self.count = device, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        reads = func._overloadpacket is torch.ops.aten._local_scalar_dense
        reads = reads and args[0].device.type == self.device
        if reads and not any(
            frame.filename.endswith(ON_CPU) for frame in traceback.extract_stack()
        ):
            self.count += 1
        if func._overloadpacket is torch.ops.aten._to_copy:
            to, blocking = kwargs.get("device"), not kwargs.get("non_blocking")
            if to is not None and to.type == "cuda" and args[0].device.type == "cpu":
                self.count += blocking
        return func(*args, **(kwargs or {}))


class Note(Callback):
    """Counts by step: what is read after a step counts for the next."""

    def __init__(self, waits):
        self.waits, self.by_step, self.before = waits, {}, 0

    def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
        self.by_step[trainer.global_step] = self.waits.count - self.before
        self.before = self.waits.count


@pytest.mark.parametrize("make", [make_task, make_adversarial_task])
def test_steps_between_two_logs_read_nothing(tmp_path, make):
    note = Note(waits := Waits("cpu"))
    trainer = VidiffTrainer(
        accelerator="cpu", max_steps=10, default_root_dir=tmp_path, gradient_clip_val=1.0,
        log_every_n_steps=5, enable_model_summary=False, limit_val_batches=0, callbacks=[note],
    )  # fmt: skip
    bar = next(c for c in trainer.callbacks if type(c).__name__ == "RunProgressBar")
    bar.seconds = float("inf")  # reads the loss once a second, else
    with waits:
        trainer.fit(make(), make_data())
    steps = note.by_step
    assert [steps[k] for k in (3, 4, 7, 8, 9)] == [0] * 5  # an epoch has four steps, a log five
    assert waits.count > 0


def test_the_bar_shows_the_loss_of_the_last_step(tmp_path):
    shown = []

    class Look(Callback):
        def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
            metrics = trainer.progress_bar_callback.get_metrics(trainer, task)
            shown.append((metrics["train/loss"], float(outputs["loss"])))

    trainer = VidiffTrainer(
        accelerator="cpu", max_steps=2, default_root_dir=tmp_path, limit_val_batches=0,
        enable_model_summary=False, callbacks=[Look()],
    )  # fmt: skip
    trainer.fit(make_task(), make_data())
    assert len(shown) == 2
    assert all(bar == loss for bar, loss in shown)
    assert isinstance(trainer.lightning_module, Task)


def test_prompts_reach_a_gpu_without_waiting():
    with fake_device("cuda") as device, Waits("cuda") as waits:
        words = Words(text_dim=16, depth=1, num_rows=64).to(device).train()
        labels = Labels(text_dim=16, num_classes=3, names=["a", "b", "c"]).to(device)
        drop = torch.tensor([True, False])
        waits.count = 0
        text = words({"caption": ["a red square", "x"]})
        words({"caption": ["a red square", "x"]}, drop)
        labels({"caption": ["a", "c"]})
        merged({"text": text}, {"text": text.map(lambda x: x[:1])}, {"text": drop})
        assert text.tokens.device.type == "cuda"
    assert waits.count == 0


def test_given_frames_reach_a_gpu_without_waiting():
    with fake_device("cuda") as device, Waits("cuda") as waits:
        frames = Frames(autoencoder=Identity()).to(device).train()
        latents = torch.zeros(2, 3, 4, 8, 8, device=device)
        waits.count = 0
        inputs = {"latents": latents, "latent_shape": (3, 4, 8, 8), "id": ["a", "b"]}
        signal = frames(inputs, torch.tensor([True, False]))
        assert signal.channels.device.type == "cuda"
        signal.known.times(torch.zeros(2, device=device))
    assert waits.count == 0
