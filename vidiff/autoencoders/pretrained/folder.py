"""A folder that diffusers saved to a model of diffusers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vidiff.autoencoders.pretrained.adapters import ADAPTERS
from vidiff.hugging_face import explained
from vidiff.registry import nearest

WEIGHTS = [
    f"diffusion_pytorch_model.{end}"
    for end in ("safetensors", "safetensors.index.json", "bin", "bin.index.json")
]
"""Files that hold weights, or name those that do; the first one found is read."""


def read_folder(folder: str) -> Any:
    """Load the autoencoder of a folder, or of a pipeline's ``vae/``; downloads and runs nothing.

    A ``ValueError`` if a file is missing or damaged, or does not fit the class.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ValueError(
            f"folder {folder!r} does not exist: give one that holds an autoencoder as diffusers "
            "saves it, with its config.json and weights; nothing is downloaded"
        )
    if not (path / "config.json").is_file() and (path / "vae" / "config.json").is_file():
        path = path / "vae"
    cls = find_class(read_config(path), str(path))
    found = [name for name in WEIGHTS if (path / name).is_file()]
    if not found:
        there = ", ".join(sorted(file.name for file in path.iterdir()))
        raise ValueError(
            f"{path} holds no weights: it needs {WEIGHTS[0]} (or one of {', '.join(WEIGHTS[1:])}), "
            f"and holds {there}"
        )
    with explained(f"{path} cannot be loaded", "diffusers"):
        model, told = cls.from_pretrained(
            str(path), local_files_only=True, use_safetensors="safetensors" in found[0],
            torch_dtype=torch.float32, low_cpu_mem_usage=False, output_loading_info=True,
        )  # fmt: skip
    for key, what in (("missing_keys", "lacks"), ("unexpected_keys", "has left over")):
        if names := sorted(told[key]):
            raise ValueError(
                f"{path / found[0]} {what} {len(names)} tensors of {cls.__name__}, among them "
                f"{', '.join(names[:3])}: is it of another model than its config.json?"
            )
    return model.to(torch.get_default_device())  # diffusers leaves weights where the file had them


def build_empty(config: Mapping[str, Any]) -> Any:
    """Build the autoencoder of a config, with NaN for weights until a checkpoint fills them in."""
    cls = find_class(config, "config")
    with explained(f"{cls.__name__} cannot be built", "diffusers"):
        model = cls.from_config(dict(config))
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    return model


def read_config(path: Path) -> dict[str, Any]:
    """The config of a folder; a ``ValueError`` if there is none or it is not one."""
    file = path / "config.json"
    if not file.is_file():
        raise ValueError(
            f"{path} holds no config.json (nor vae/config.json): give the folder that diffusers' "
            "save_pretrained wrote"
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{file} must hold a JSON object, it holds a {type(config).__name__}")
    return config


def find_class(config: Mapping[str, Any], where: str) -> Any:
    """The class that a config names, if diffusers is installed and it and vidiff know the class."""
    name = str(config.get("_class_name", ""))
    if name not in ADAPTERS:
        raise ValueError(
            f"{where} names the class {name!r}{nearest(name, ADAPTERS)}; known: "
            f"{', '.join(ADAPTERS)}"
        )
    try:
        import diffusers
    except ImportError as error:
        raise ValueError(
            f"{name} needs diffusers, which cannot be imported ({error}): "
            "pip install 'vidiff[pretrained]'"
        ) from error
    cls = getattr(diffusers, name, None)
    if cls is None:
        raise ValueError(
            f"diffusers {diffusers.__version__} has no {name}: pip install -U 'vidiff[pretrained]'"
        )
    return cls
