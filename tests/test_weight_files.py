"""Weight files in every wrapping that training code gives them."""

import argparse
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vidiff.weight_files import read_weights, unwrapped

OURS = {"x_embedder.proj.weight": torch.ones(2, 2), "blocks.0.attn.qkv.bias": torch.arange(3.0)}
OTHERS = {name: value + 1 for name, value in OURS.items()}


def prefixed(prefix, weights=OURS):
    return {f"{prefix}{name}": value for name, value in weights.items()}


def assert_ours(found):
    assert found.keys() == OURS.keys()
    assert all(torch.equal(found[name], value) for name, value in OURS.items())


@pytest.mark.parametrize(
    "prefix",
    [
        "module.", "model.", "ema.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.",
        "model.module._orig_mod.", "ema_model.module.", "state_dict.model.", "param.",
        "_fsdp_wrapped_module.module.", "model.model.model.",
    ],
)  # fmt: skip
def test_prefixes_go_in_any_order_and_depth(prefix):
    assert_ours(unwrapped(prefixed(prefix)))


def test_wrappers_around_single_blocks_go_too():
    names = {
        "x_embedder.proj.weight": OURS["x_embedder.proj.weight"],
        "blocks.0._orig_mod._checkpoint_wrapped_module.attn.qkv.bias": OURS[
            "blocks.0.attn.qkv.bias"
        ],
    }
    assert_ours(unwrapped(names))


def test_an_average_is_preferred_and_the_rest_is_left():
    assert_ours(unwrapped(prefixed("model.", OTHERS) | prefixed("module.ema.")))
    more = prefixed("model.") | {"loss.scale": torch.ones(())}
    assert_ours(unwrapped(more))


class DictConfig(dict):
    """As omegaconf's, which may not be installed where the weights are read."""

    def __reduce__(self):
        return DictConfig, (dict(self),), {"_metadata": int}


@pytest.fixture
def omegaconf(monkeypatch):
    """A module that is there when the file is written, and gone when it is read."""
    parent, module = types.ModuleType("omegaconf"), types.ModuleType("omegaconf.dictconfig")
    module.DictConfig = DictConfig
    monkeypatch.setattr(DictConfig, "__module__", module.__name__)
    for one in (parent, module):
        monkeypatch.setitem(sys.modules, one.__name__, one)
    return DictConfig


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
def test_options_of_any_class_beside_the_weights_are_not_rebuilt(
    tmp_path, monkeypatch, omegaconf, new
):
    args = argparse.Namespace(lr=1e-4, cfg=omegaconf(depth=28), path=Path("x"))
    saved = {"model": OTHERS, "ema": OURS, "args": args, "opt": {"state": {0: torch.ones(1)}}}
    torch.save(saved, tmp_path / "a.pt", _use_new_zipfile_serialization=new)
    for module in ("omegaconf", "omegaconf.dictconfig"):
        monkeypatch.delitem(sys.modules, module)
    assert_ours(read_weights(tmp_path / "a.pt"))


@pytest.mark.parametrize(
    "saved",
    [
        OURS,
        {"state_dict": prefixed("model.")},
        {"state_dict": {"ema": OURS, "model": OTHERS}, "epoch": 3},
        {"model": {"state_dict": prefixed("_orig_mod.module.")}},
        {"module": OURS, "loss": torch.ones(())},
        {"params_ema": OURS, "params": OTHERS},
        [OURS],
        {"ema": [OURS], "step": 1},
    ],
    ids=range(8),
)
def test_wrappings_are_opened(tmp_path, saved):
    torch.save(saved, tmp_path / "a.pt")
    assert_ours(read_weights(tmp_path / "a.pt"))


class Touch:
    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


def cut(path):
    torch.save(OURS, path)
    path.write_bytes(path.read_bytes()[:700])


def cut_safetensors(path):
    save_file(OURS, path)
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("a.pt", lambda p: torch.save([OURS, OTHERS], p), "a list of 2 state dicts: save the one"),
        ("a.pt", lambda p: torch.save({"models": [OURS, OTHERS]}, p), "a list of 2 state dicts"),
        ("a.pt", lambda p: torch.save(torch.nn.Linear(2, 2), p), "model.state_dict()"),
        ("a.pt", lambda p: torch.save({"epoch": 3}, p), "no state dict of tensors: save one by"),
        ("a.pt", lambda p: torch.save(OURS["blocks.0.attn.qkv.bias"], p), "no state dict"),
        ("a.pt", cut, "cut off or damaged: copy or download it again"),
        ("a.pt", lambda p: p.write_bytes(b""), "cut off or damaged"),
        ("a.pt", lambda p: p.write_text("<!DOCTYPE html><html>"), "download them again"),
        ("a.pt", lambda p: p.write_text("version https://git-lfs.github.com/spec/v1"), "git-lfs"),
        ("a.pt", lambda p: p.write_text("weights"), "no file that torch.save wrote"),
        ("a.safetensors", cut_safetensors, "no whole safetensors file"),
        ("a.pt", lambda p: None, "is not a file: give one of weights"),
        ("a.pt", lambda p: p.mkdir(), "is not a file"),
        (
            "a.pt",
            lambda p: torch.save({"x": Touch(Path.touch, p.parent / "harmed")}, p),
            "objects of Python that cannot be passed over: have its author save model.state_dict",
        ),
        (
            "a.pt",
            lambda p: torch.save({"x": Touch(__import__("os").system, "touch harmed")}, p),
            r"it would call \w+.system, .* do not trust this file",
        ),
    ],
)
def test_the_rest_is_refused_in_one_line_with_what_to_do(tmp_path, monkeypatch, name, write, said):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name)
    with pytest.raises(ValueError, match=said) as error:
        read_weights(tmp_path / name)
    text = str(error.value)
    assert text.startswith(str(tmp_path / name))
    assert "\n" not in text
    assert "PyTorch 2.6" not in text
    assert len(text) < 400
    assert not (tmp_path / "harmed").exists()
