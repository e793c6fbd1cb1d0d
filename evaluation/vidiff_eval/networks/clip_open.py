"""CLIP as open_clip saves it (Ilharco et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from vidiff.files import read_json
from vidiff_eval.networks.clip import CLIPFolder, in_a_line, require
from vidiff_eval.networks.frames import Preparation
from vidiff_eval.protocols.protocol import fingerprint

CONFIG = "open_clip_config.json"
WEIGHTS = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth",
    "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
)  # fmt: skip
"""In the order in which open_clip prefers them."""


class OpenCLIP(CLIPFolder):
    """A folder of ``open_clip.push_to_hf_hub``, as it lies on Hugging Face for open_clip."""

    layout = "open_clip"

    @classmethod
    def missing(cls, folder: Path) -> list[str]:
        weights = any((folder / name).is_file() for name in WEIGHTS)
        return [
            *([] if (folder / CONFIG).is_file() else [CONFIG]),
            *([] if weights else [f"{WEIGHTS[0]} or {WEIGHTS[2]}"]),
        ]

    def weights(self) -> list[Path]:
        return [next(self.folder / name for name in WEIGHTS if (self.folder / name).is_file())]

    def architecture(self) -> dict[str, Any]:
        return {"model_type": "open_clip", "config": fingerprint(self._config["model_cfg"])}

    @cached_property
    def preparation(self) -> Preparation:
        """See the base class; the network's validation transform, on tensors."""
        transform = require("open_clip.transform")
        given = transform.merge_preprocess_dict(
            transform.PreprocessCfg(), self._config.get("preprocess_cfg", {})
        )
        size = self._config["model_cfg"]["vision_cfg"].get("image_size", 224)
        height, width = (size, size) if isinstance(size, int) else size
        way, interpolation = given["resize_mode"], given["interpolation"]
        if way not in ("shortest", "squash") or (way == "shortest" and height != width):
            raise ValueError(
                f"{self.folder / CONFIG} scales pictures by resize_mode {way!r} to "
                f"{height}x{width}; supported: 'shortest' to a square, 'squash'"
            )
        return Preparation(
            size=(height, width),
            resize=height if way == "shortest" else (height, width),
            interpolation="bilinear" if interpolation == "bilinear" else "bicubic",
            mean=tuple(given["mean"]),
            std=tuple(given["std"]),
            odd="even",
        )

    @cached_property
    def network(self) -> Any:
        """See the base class."""
        open_clip, source = require("open_clip"), self._source
        try:
            network = open_clip.create_model(
                source, precision="fp32", require_pretrained=True,
                weights_only=True,
            )  # fmt: skip
        except Exception as error:  # what a configuration or a damaged file brings about
            raise ValueError(
                f"{self.folder} cannot be loaded as a CLIP: {in_a_line(error)}"
            ) from error
        return network.eval().requires_grad_(False)

    @cached_property
    def tokenizer(self) -> Any:
        """What cuts prompts into tokens."""
        open_clip, source = require("open_clip"), self._source
        try:
            return open_clip.get_tokenizer(source)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{self.folder} has no tokenizer that loads: {in_a_line(error)}"
            ) from error

    def tokens(self, prompts: Sequence[str]) -> tuple[dict[str, Tensor], int]:
        tokens = self.tokenizer(list(prompts))
        longest = tokens.shape[1]
        # A prompt that is cut ends otherwise where there is room for one more token.
        longer = self.tokenizer(list(prompts), context_length=longest + 1)[:, :longest]
        return {"text": tokens}, int((tokens != longer).any(1).sum())

    def _pictures(self, inputs: Tensor) -> Tensor:
        return self.network.encode_image(inputs)

    def _texts(self, tokens: dict[str, Tensor]) -> Tensor:
        return self.network.encode_text(**tokens)

    @cached_property
    def _config(self) -> dict[str, Any]:
        return read_config(self.folder / CONFIG)

    @property
    def _source(self) -> str:
        """The folder as open_clip names it, once its configuration has been seen to be safe."""
        read_config(self.folder / CONFIG)
        return f"local-dir:{self.folder}"


def read_config(path: Path) -> dict[str, Any]:
    """What a folder says of its network.

    Raises:
        ValueError: if it is no configuration, or one that would have parts of the network
            downloaded or code run.
    """
    config: dict[str, Any] = read_json(path)
    model = config.get("model_cfg")
    if not isinstance(model, dict) or not {"vision_cfg", "text_cfg"} <= model.keys():
        raise ValueError(f"{path} has no model_cfg with a vision_cfg and a text_cfg")
    if name := model["text_cfg"].get("hf_model_name"):
        raise ValueError(
            f"{path} takes its text part {name!r} from Hugging Face, which would be downloaded; "
            "give a CLIP that transformers saved"
        )
    if ":" in model["vision_cfg"].get("timm_model_name", ""):
        raise ValueError(f"{path} names a picture part that would be downloaded")
    if "trust_remote_code" in model["text_cfg"].get("tokenizer_kwargs", {}):
        raise ValueError(f"{path} asks to run code of the folder, which is not done")
    return config
