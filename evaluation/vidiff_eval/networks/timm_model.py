"""Networks of timm by their names, with weights from a file; nothing is downloaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vidiff.registry import nearest
from vidiff.weight_search import caches, find_file
from vidiff_eval.networks.frames import Preparation

CLASSIFIERS = ("head", "head.fc", "fc", "classifier")
"""Names of the last layer in files whose names timm translates."""


def find_timm_weights(model: str) -> Path:
    """The file of a model's weights on this machine.

    Looked for in ``$VIDIFF_WEIGHTS`` and in the caches of torch hub and Hugging Face.

    Raises:
        ValueError: if there is none, with the places that were looked in.
    """
    named = [f"{model}{suffix}" for suffix in (".safetensors", ".pth", ".pt", ".bin")]
    snapshots = f"models--timm--{model}/snapshots/*"
    cached = [f"{snapshots}/{name}" for name in ("model.safetensors", "pytorch_model.bin")]
    return find_file(model, [*named, *cached], caches(), hint="")


def timm_preparation(model: str) -> Preparation:
    """How frames become the input of a model, as timm evaluates it, on tensors.

    Raises:
        ValueError: if there is no such model, or its frames are not prepared in a supported way.
    """
    from timm.data import resolve_data_config

    data = resolve_data_config(pretrained_cfg=_config(model))
    size, share = tuple(data["input_size"][1:]), data["crop_pct"]
    way, interpolation = data["crop_mode"], data["interpolation"]
    scaled = (math.floor(size[0] / share), math.floor(size[1] / share))
    if way not in ("center", "squash") or (way == "center" and size[0] != size[1]):
        raise ValueError(f"{model} crops by {way!r} to {size}; supported: 'center' to a square")
    if interpolation not in ("bicubic", "bilinear"):
        raise ValueError(f"{model} scales by {interpolation!r}; supported: bicubic, bilinear")
    return Preparation(
        size=size,
        resize=scaled if way == "squash" else scaled[0],
        interpolation=interpolation,
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        odd="even",
    )


def load_timm(model: str, weights: Path) -> nn.Module:
    """A model without its classifier: pictures (n, 3, h, w) to vectors (n, d).

    Args:
        model: the name in timm, such as ``vit_base_patch16_224.dino``.
        weights: a state dict or a checkpoint of a training, as .safetensors or as a file of
            ``torch.save`` that holds tensors alone.

    Raises:
        ValueError: if there is no such model or file, or the file does not fit the model.
    """
    import timm
    from timm.models import load_state_dict

    config = _config(model)
    if not weights.is_file():
        raise ValueError(f"weights {weights} do not exist")
    try:
        state = load_state_dict(str(weights), device="cpu", weights_only=True)
        num_classes = _num_classes(state, config.get("classifier"))
        # As if these were the published weights, so that timm translates old names; of as many
        # classes as they have, as it asks for a complete fit only then.
        given = {"state_dict": state, "num_classes": num_classes, "label_offset": 0}
        network: Any = timm.create_model(
            model, pretrained=True, num_classes=num_classes, pretrained_cfg_overlay=given
        )
    except Exception as error:  # damaged files and unfit names raise what they like
        reason = " ".join((str(error) or type(error).__name__).split())[:300]
        raise ValueError(f"{weights} does not fit timm's {model}: {reason}") from error
    network.pretrained_cfg["state_dict"] = None  # it would be held twice
    if num_classes:
        network.reset_classifier(0)
    module: nn.Module = network.eval().requires_grad_(False)
    return module


def _config(model: str) -> dict[str, Any]:
    """What timm knows of a model."""
    import timm

    try:
        found = timm.models.get_pretrained_cfg(model) if timm.is_model(model) else None
    except RuntimeError:  # a tag that the model does not have
        found = None
    if found is None:
        known = timm.list_models(include_tags=True) + timm.list_models()
        raise ValueError(
            f"timm has no model {model!r}{nearest(model, known)}; timm.list_models() lists them"
        )
    config: dict[str, Any] = found.to_dict()
    return config


def _num_classes(state: Mapping[str, Tensor], named: str | tuple[str, ...] | None) -> int:
    """Classes that weights were trained for; 0 where the classifier is left out."""
    names = (named,) if isinstance(named, str) else tuple(named or ())
    for name in (*names, *CLASSIFIERS):
        if (weight := state.get(f"{name}.weight")) is not None and weight.ndim > 1:
            return len(weight)
    return 0
