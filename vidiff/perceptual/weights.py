"""Finding and reading the weights of perceptual distances, in the formats in circulation."""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vidiff.perceptual.backbones import BackboneName
from vidiff.weight_files import why_unreadable
from vidiff.weight_search import caches, find_file, package_folder

FILES: dict[BackboneName, tuple[str, ...]] = {
    "alex": ("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth", "alex_shift_tolerant.pth"),
    "vgg": ("vgg16-397923af.pth", "vgg_shift_tolerant.pth"),
}
"""Names under which torchvision and stlpips-pytorch publish a backbone, the plain one first."""


@dataclass
class Weights:
    """Weights of a perceptual distance."""

    convolutions: list[tuple[Tensor, Tensor]]  # weights and biases of the backbone's, in order
    channels: list[Tensor]  # weights of each stage's, (c,); none in a file of only a backbone
    shift_tolerant: bool  # whether the backbone blurs before it leaves pixels out

    @property
    def backbone(self) -> BackboneName | None:
        """Which backbone they are of; None if of no known one."""
        found = len(self.convolutions), *self.convolutions[0][0].shape[2:]
        known: dict[tuple[int, ...], BackboneName] = {(5, 11, 11): "alex", (13, 3, 3): "vgg"}
        return known.get(found)


def find_weights(backbone: BackboneName) -> Path:
    """The file of a backbone: in ``$VIDIFF_WEIGHTS``, torch hub's cache, or stlpips-pytorch.

    Raises:
        ValueError: if there is none, with the places that were looked in.
    """
    places = caches()[:1]
    if (package := package_folder("stlpips_pytorch")) is not None:
        places.append(package / "weights" / "vST0.0")
    hint = ", or pip install --no-deps stlpips-pytorch"
    return find_file(backbone, FILES[backbone], places, hint=hint)


def read_weights(path: Path) -> Weights:
    """Read a file: torchvision's of a backbone, or one of a whole LPIPS or ST-LPIPS network."""
    if not path.is_file():
        raise ValueError(f"weights {path} do not exist: give the path of a .pth or .safetensors")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read as weights: {why_unreadable(error)}") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}: expected a dict of weights")
    names = [n for n in state if re.fullmatch(r"(features|net\.slice\d)\..*weight", n)]
    biases = [name.removesuffix("weight") + "bias" for name in names]
    if not names or not all(bias in state for bias in biases):
        raise ValueError(
            f"{path} holds no backbone: expected the weights of torchvision's vgg16 or alexnet, or "
            f"of a whole LPIPS network, and found {', '.join(list(state)[:5]) or 'nothing'}"
        )
    return Weights(
        convolutions=[(state[w], state[b]) for w, b in zip(names, biases, strict=True)],
        channels=channel_weights(state),
        shift_tolerant=any(name.endswith(".filt") for name in state),
    )


def read_linear(backbone: BackboneName) -> list[Tensor]:
    """The channels' weights of LPIPS 0.1, which torchmetrics carries; it is not imported."""
    package = package_folder("torchmetrics")
    assert package is not None, "torchmetrics is required, so pip installed it"
    path = package / "functional" / "image" / "lpips_models" / f"{backbone}.pth"
    return channel_weights(torch.load(path, map_location="cpu", weights_only=True))


def channel_weights(state: dict[str, Tensor]) -> list[Tensor]:
    """The weights of each stage's channels, (c,), as all of these files name them."""
    return [
        state[name].flatten() for name in state if re.fullmatch(r"lin\d\.model\.[01]\.weight", name)
    ]
