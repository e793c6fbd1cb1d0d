"""The precision of a run: chosen for the machine, said, recorded, and kept by checkpoints."""

import json
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import DoublePrecision
from run_tiny import make_data, make_task
from test_tasks import trainer
from torch.utils._python_dispatch import TorchDispatchMode

from vidiff import precision
from vidiff.training.callbacks import precision as callback
from vidiff.training.trainer import VidiffTrainer

PIXEL = Path(__file__).parents[2] / "experiments" / "quickstart" / "pixel.yaml"


@pytest.fixture
def machine(monkeypatch):
    """Makes this CPU one that is fast in bf16, or one that is not."""

    def pretend(fast):
        monkeypatch.setattr(precision, "_bf16_of_cpu", lambda: (fast, "so it is said"))

    return pretend


@pytest.fixture
def said(monkeypatch):
    """What the callback says and warns of."""
    lines = []
    for name in ("rank_zero_info", "rank_zero_warn"):
        monkeypatch.setattr(callback, name, lines.append)
    return lines


@pytest.mark.parametrize(("fast", "chosen"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_what_the_machine_is_fast_in(machine, said, tmp_path, fast, chosen):
    machine(fast)
    run = trainer(tmp_path, max_steps=2, precision="auto")
    assert run.precision == chosen
    run.fit(make_task(), make_data())
    assert said == [f"precision: {chosen} (so it is said)"]
    devices = json.loads((tmp_path / "run.json").read_text())["devices"]
    assert (devices["precision"], devices["precision_why"]) == (chosen, "so it is said")
    assert devices["matmul_precision"] == torch.get_float32_matmul_precision()


def test_auto_is_the_default(machine):
    machine(True)
    assert VidiffTrainer(accelerator="cpu", logger=False).precision == "bf16-mixed"


def test_a_plugin_may_bring_a_precision_of_its_own():
    run = VidiffTrainer(accelerator="cpu", logger=False, plugins=[DoublePrecision()])
    assert run.precision == "64-true"


def test_what_is_slow_may_be_asked_for_and_is_warned_of_once(machine, said, tmp_path):
    machine(False)
    trainer(tmp_path, max_steps=2, precision="bf16-mixed").fit(make_task(), make_data())
    assert len(said) == 1
    for part in ("bf16-mixed is slow here", "0.9 GFLOP/s", "158", "trainer.precision to 32-true"):
        assert part in said[0]


def test_fp16_on_a_cpu_is_named_as_it_was_asked_for(machine, said, tmp_path):
    machine(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, that it takes bf16-mixed instead
        run = trainer(tmp_path, max_steps=1, precision="16-mixed")
    run.fit(make_task(), make_data())
    assert len(said) == 1
    assert "16-mixed is slow here: a CPU has no units for fp16" in said[0]


def test_sampling_without_mixed_precision_warns_of_nothing(machine, said, tmp_path):
    machine(False)
    trainer(tmp_path, max_steps=1, precision="32-true").fit(make_task(), make_data())
    words = {"prompts": "a red square", "num_steps": 2, "scale": 1}
    words |= {"ckpt_path": str(tmp_path / "checkpoints" / "last.ckpt")}
    run = trainer(tmp_path, precision="bf16-mixed")
    run.sample(make_task(), output=str(tmp_path / "exact"), **words)
    assert said == []
    run.sample(make_task(), output=str(tmp_path / "mixed"), exact=False, **words)
    assert len(said) == 1


@pytest.mark.parametrize("again", ["32-true", "bf16-mixed"])
def test_a_run_that_goes_on_in_another_precision_says_so(machine, said, tmp_path, again):
    machine(True)
    trainer(tmp_path, max_steps=1, precision="32-true").fit(make_task(), make_data())
    run = trainer(tmp_path, max_steps=2, precision=again)
    last = str(tmp_path / "checkpoints" / "last.ckpt")
    run.fit(make_task(), make_data(), ckpt_path=last, weights_only=True)
    if again == "32-true":
        assert said == ["precision: 32-true (as in the checkpoint)"]
    else:
        assert len(said) == 1
        assert "is bf16-mixed from here on, and was 32-true in the checkpoint" in said[0]


# -- Products of float32 --------------------------------------------------------------------------


class Seen(Callback):
    """How float32 matrices were multiplied where."""

    def __init__(self):
        self.during = {}

    def on_before_backward(self, *_):
        self.during["step"] = torch.get_float32_matmul_precision()

    def on_validation_batch_end(self, *_):
        self.during["validation"] = torch.get_float32_matmul_precision()

    def on_train_batch_end(self, *_):
        self.during["between"] = torch.get_float32_matmul_precision()


def products(folder, **settings):
    seen = Seen()
    settings |= {"precision": "32-true", "limit_val_batches": 1, "callbacks": [seen]}
    trainer(folder, max_steps=4, **settings).fit(make_task(), make_data())
    assert torch.get_float32_matmul_precision() == "highest", "as it was before"
    return seen.during


def test_auto_is_tf32_in_the_steps_of_training_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(callback, "has_tf32", lambda device: True)
    found = products(tmp_path)
    assert found == {"step": "high", "validation": "highest", "between": "highest"}
    devices = json.loads((tmp_path / "run.json").read_text())["devices"]
    assert devices["matmul_precision"] == "high"


def test_a_cpus_products_are_left_alone_unless_asked(monkeypatch, tmp_path):
    calls = []
    real = torch.set_float32_matmul_precision
    monkeypatch.setattr(
        torch, "set_float32_matmul_precision", lambda value: (calls.append(value), real(value))
    )
    assert set(products(tmp_path / "auto").values()) == {"highest"}
    assert calls == []
    assert set(products(tmp_path / "asked", matmul_precision="medium").values()) == {"medium"}
    assert calls == ["medium", "highest"]


def test_lightnings_advice_to_do_what_is_done_is_left_out(monkeypatch, caplog):
    from lightning.fabric.accelerators import cuda

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A100")
    monkeypatch.setattr(cuda, "_is_ampere_or_later", lambda device: True)
    cuda._check_cuda_matmul_precision.cache_clear()
    with caplog.at_level("INFO"):
        cuda._check_cuda_matmul_precision(torch.device("cuda"))
        callback.rank_zero_info("another line")
    assert [record.getMessage() for record in caplog.records] == ["another line"]


# -- The shipped config ---------------------------------------------------------------------------


class Operations(TorchDispatchMode):
    """Counts what is computed, by operation and by the types of its tensors."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [a for a in torch.utils._pytree.tree_leaves(args) if isinstance(a, torch.Tensor)]
        self.found[str(func), *(str(tensor.dtype) for tensor in tensors)] += 1
        return func(*args, **(kwargs or {}))


def operations(folder, precision):
    """Of a step of the shipped config on pixels, the optimizer's included."""
    from vidiff.cli.model import make_parser

    words = ["fit", "-c", str(PIXEL), "--data.batch_size=2", "--data.num_workers=0"]
    parser = make_parser()
    config = parser.parse_args(words).fit
    from jsonargparse import Namespace

    made = parser._subcommands_action.choices["fit"].instantiate(
        Namespace(model=config.model, data=config.data)
    )
    run = trainer(
        folder, max_steps=1, precision=precision or config.trainer.precision,
        enable_checkpointing=False,
    )  # fmt: skip
    with Operations() as counted:
        run.fit(made.model, made.data)
    return counted.found


def test_without_bf16_the_shipped_config_computes_what_it_would_in_float32(machine, tmp_path):
    machine(False)
    shipped, single = operations(tmp_path / "a", None), operations(tmp_path / "b", "32-true")
    assert shipped == single
    assert not any("bfloat16" in name for key in shipped for name in key)
    machine(True)
    mixed = operations(tmp_path / "c", None)
    products = [
        key for key in mixed if key[0].startswith(("aten.mm", "aten.addmm", "aten.baddbmm"))
    ]
    assert products
    assert all("torch.bfloat16" in key for key in products)
