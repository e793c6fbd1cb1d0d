"""Text encoders of transformers under one interface; each is loaded once a process."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from vidiff.files import read_json
from vidiff.hugging_face import CONFIG, ModelFolder, explained, library

CLASSES = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "clip": "CLIPTextModelWithProjection",
    "clip_text_model": "CLIPTextModel",
    "siglip": "SiglipTextModel",
    "siglip_text_model": "SiglipTextModel",
}
"""Classes that read text only, by ``model_type``; for others ``AutoModel`` chooses."""


class Encoder(nn.Module):
    """An encoder, or a decoder that is read by its hidden states.

    Attributes:
        lacks_pooler: whether the folder has no weights for the model's own pooled vector.
    """

    def __init__(self, model: Any, lacks_pooler: bool = False) -> None:
        super().__init__()
        self.model, self.lacks_pooler = model, lacks_pooler
        model.config.get_text_config().use_cache = False

    def forward(
        self, ids: Tensor, real: Tensor | None, layer: int | None = None
    ) -> tuple[Tensor, Tensor | None, int]:
        """Hidden states (b, l, c) of token ids (b, l), the model's own pooled vector, layers.

        Args:
            real: (b, l), True for tokens that are read; None for all.
            layer: index into the hidden states, 0 for the embeddings; None for the model's output.

        Returns:
            The hidden states; the pooled vector (b, c), None if there is none; the number of hidden
            states, or 0 where ``layer`` is None.
        """
        mask = None if real is None else real.long()
        if not has_values(ids):  # transformers looks at values to leave masks out, but not at 4-D
            b, length = ids.shape
            shape, dtype = (b, 1, length, length), self.model.dtype
            mask = torch.zeros(shape, dtype=dtype, device=ids.device)
        out = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=layer is not None)
        own = out.get("text_embeds", out.get("pooler_output"))
        if layer is None:
            return out.last_hidden_state, own, 0
        states = out.hidden_states
        hidden = states[layer] if -len(states) <= layer < len(states) else states[0]
        return hidden, own, len(states)


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor is no stand-in of a plan."""
    return not tensor.is_meta and not isinstance(tensor, FakeTensor)


def load(folder: ModelFolder, dtype: torch.dtype) -> Encoder:
    """The encoder of a folder with its weights; ``ValueError`` if they do not fit its config."""
    cls, options = _class_of(folder)
    first = folder.weights[0]
    # Loading may draw initial values, which must not change what a training step draws.
    with (
        explained(f"{folder.path} cannot be loaded", "transformers"),
        torch.random.fork_rng(devices=[]),
    ):
        model, told = cls.from_pretrained(
            str(folder.path), local_files_only=True, weights_only=True, dtype=dtype,
            use_safetensors="safetensors" in first.name, output_loading_info=True, **options,
        )  # fmt: skip
    missing = sorted([*told["missing_keys"], *map(str, told["mismatched_keys"])])
    poolers = [name for name in missing if "pooler." in name]
    if lost := sorted(set(missing) - set(poolers)):
        raise ValueError(
            f"{first} lacks {len(lost)} tensors of {type(model).__name__}, or has them in another "
            f"shape, among them {', '.join(lost[:3])}: is it of another model than its {CONFIG}?"
        )
    return Encoder(_encoder_part(model), bool(poolers))


def empty(folder: ModelFolder, dtype: torch.dtype, device: torch.device | str) -> Encoder:
    """The encoder of a folder on a device without values; its weights are not read."""
    cls, options = _class_of(folder)
    with explained(f"{folder.path}/{CONFIG} cannot be read as that of an encoder", "transformers"):
        config = library().AutoConfig.from_pretrained(
            str(folder.path), local_files_only=True, trust_remote_code=False
        )
        if cls.__name__.startswith(("CLIPText", "SiglipText")):
            config = config.get_text_config()
        with torch.device(device):
            build = cls.from_config if options else cls._from_config
            return Encoder(_encoder_part(build(config, dtype=dtype)))


_shared: weakref.WeakValueDictionary[tuple[Any, ...], Encoder] = weakref.WeakValueDictionary()


def shared(folder: ModelFolder, dtype: torch.dtype, device: torch.device) -> Encoder:
    """The frozen encoder of a folder on a device: the same one for all that use it at a time."""
    key = (folder.path.resolve(), folder.state, dtype, device)
    found = _shared.get(key)
    if found is None:
        with torch.inference_mode(False):  # of use in training too, wherever it is read first
            found = load(folder, dtype).to(device).requires_grad_(False).eval()
        _shared[key] = found
    return found


def _class_of(folder: ModelFolder) -> tuple[Any, dict[str, Any]]:
    """The class for a folder's config, and options for those that choose by themselves."""
    config = read_json(folder.path / CONFIG)
    config = config if isinstance(config, dict) else {}
    kind, names = str(config.get("model_type", "")), config.get("architectures") or []
    if not kind:
        named = config.get("_class_name") or ", ".join(names) or "no class"
        raise ValueError(
            f"{folder.path / CONFIG} names no model_type but {named}, so it is no text encoder of "
            "transformers: give the folder of one"
        )
    transformers = library()
    if kind == "clip_text_model" and "CLIPTextModelWithProjection" in names:
        return transformers.CLIPTextModelWithProjection, {}
    if kind in CLASSES:
        return getattr(transformers, CLASSES[kind]), {}
    return transformers.AutoModel, {"trust_remote_code": False}


def _encoder_part(model: Any) -> Any:
    """The encoder of a model that has a decoder too."""
    return model.get_encoder() if model.config.is_encoder_decoder else model
