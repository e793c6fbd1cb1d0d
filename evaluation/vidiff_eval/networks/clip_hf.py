"""CLIP as Hugging Face's transformers saves it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vidiff.files import read_json
from vidiff_eval.networks.clip import CLIPFolder, in_a_line, require
from vidiff_eval.networks.frames import Preparation
from vidiff_eval.protocols.protocol import fingerprint

CONFIG = "config.json"
WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json",
    "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
"""In the order in which transformers prefers them; an index names the parts of large ones."""

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model")

BOOKKEEPING = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")
"""What a configuration says without deciding the vectors: they are computed in float32."""

INTERPOLATIONS: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}
"""PIL's numbers of those that torch has, too."""


class HuggingFaceCLIP(CLIPFolder):
    """A folder of ``CLIPModel.save_pretrained`` and ``CLIPProcessor.save_pretrained``.

    Other networks that transformers gives ``get_image_features`` and ``get_text_features``, such as
    SigLIP, load in the same way.
    """

    layout = "transformers"

    @classmethod
    def missing(cls, folder: Path) -> list[str]:
        wanted = {
            CONFIG: (CONFIG,),
            "model.safetensors or pytorch_model.bin": WEIGHTS,
            "preprocessor_config.json": PROCESSORS,
            "tokenizer.json or vocab.json": TOKENIZERS,
        }
        return [
            what
            for what, names in wanted.items()
            if not any((folder / name).is_file() for name in names)
        ]

    def weights(self) -> list[Path]:
        path = next(self.folder / name for name in WEIGHTS if (self.folder / name).is_file())
        if path.suffix != ".json":
            return [path]
        return [path.parent / part for part in sorted(set(read_json(path)["weight_map"].values()))]

    def architecture(self) -> dict[str, Any]:
        config = read_json(self.folder / CONFIG)
        known = {name: value for name, value in config.items() if name not in BOOKKEEPING}
        return {"model_type": config.get("model_type", ""), "config": fingerprint(known)}

    @cached_property
    def preparation(self) -> Preparation:
        """See the base class; the processor's own way, on tensors."""
        transformers = require("transformers")
        processor = self._load(transformers.AutoImageProcessor)
        steps = ("do_resize", "do_rescale", "do_normalize")
        if off := [step for step in steps if not getattr(processor, step, False)]:
            raise ValueError(f"{self.folder} prepares pictures without {off[0]}: not supported")
        if processor.resample not in INTERPOLATIONS:
            raise ValueError(
                f"{self.folder} scales pictures by PIL's filter {processor.resample!r}; supported: "
                + ", ".join(f"{number} ({name})" for number, name in INTERPOLATIONS.items())
            )
        short = _sides(processor.size, "shortest_edge")
        stretched = _sides(processor.size, "height", "width")
        cut = getattr(processor, "do_center_crop", False) and _sides(
            processor.crop_size, "height", "width"
        )
        if not stretched and not (short and cut):
            raise ValueError(f"{self.folder} scales pictures to {processor.size}: not supported")
        return Preparation(
            size=cut or stretched,
            resize=short[0] if short else stretched,
            interpolation=INTERPOLATIONS[processor.resample],
            mean=tuple(processor.image_mean),
            std=tuple(processor.image_std),
            odd="down",
        )

    @cached_property
    def network(self) -> Any:
        """See the base class."""
        transformers = require("transformers")
        network, loaded = self._load(
            transformers.AutoModel, dtype=torch.float32, output_loading_info=True
        )
        unfit = sorted([*loaded["missing_keys"], *map(str, loaded["mismatched_keys"])])
        if unfit:
            raise ValueError(
                f"{self.weights()[0]} does not fit {self.folder / CONFIG}: {len(unfit)} weights "
                f"are missing or of another shape, the first {unfit[0]}"
            )
        if not hasattr(network, "get_text_features") or not hasattr(network, "get_image_features"):
            raise ValueError(
                f"{self.folder} holds a {type(network).__name__}, which does not map both pictures "
                "and prompts to vectors; give the folder of a whole CLIP"
            )
        return network.eval().requires_grad_(False)

    @cached_property
    def tokenizer(self) -> Any:
        """What cuts prompts into tokens."""
        return self._load(require("transformers").AutoTokenizer)

    def tokens(self, prompts: Sequence[str]) -> tuple[dict[str, Tensor], int]:
        longest = self.network.config.text_config.max_position_embeddings
        # All of one length: networks that take no mask were trained so, others do not mind.
        tokens = self.tokenizer(
            list(prompts), truncation=True, max_length=longest, padding="max_length",
            return_tensors="pt",
        )  # fmt: skip
        longer = self.tokenizer(list(prompts), truncation=True, max_length=longest + 1)["input_ids"]
        return dict(tokens), sum(len(ids) > longest for ids in longer)

    def _pictures(self, inputs: Tensor) -> Tensor:
        return _vectors(self.network.get_image_features(pixel_values=inputs))

    def _texts(self, tokens: dict[str, Tensor]) -> Tensor:
        return _vectors(self.network.get_text_features(**tokens))

    def _load(self, cls: Any, **options: Any) -> Any:
        try:
            return cls.from_pretrained(
                self.folder, local_files_only=True, trust_remote_code=False, **options
            )
        except Exception as error:  # what a configuration or a damaged file brings about
            raise ValueError(
                f"{self.folder} cannot be loaded as a CLIP: {in_a_line(error)}"
            ) from error


def _sides(size: Any, *names: str) -> Any:
    """Lengths in pixels that a processor's size has under names; empty where it lacks one."""
    known = size if isinstance(size, dict) else vars(size)
    sides = tuple(known.get(name) for name in names)
    return sides if all(sides) else ()


def _vectors(found: Any) -> Tensor:
    """The projected vectors (n, d); version 5 of transformers wraps them."""
    return found if isinstance(found, Tensor) else found.pooler_output
