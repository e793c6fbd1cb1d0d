"""A pretrained text encoder, from a folder that transformers saved."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch._guards import detect_fake_mode

from vidiff.checks import at_least
from vidiff.conditions.base import TextCondition, in_rows
from vidiff.conditions.huggingface.encoder import Encoder, empty, load, shared
from vidiff.conditions.huggingface.prompts import Padding, PromptReader
from vidiff.config_nodes import Node
from vidiff.hugging_face import open_folder
from vidiff.registry import register
from vidiff.types import Signal, SignalDims, stack_signals

Pooled = Literal["auto", "model", "mean", "first", "last", "none"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@register("huggingface")
class HuggingFace(TextCondition):
    """Reads a text encoder that transformers saved in a local folder: T5, CLIP, BERT, Qwen, ….

    Encoders of T5, mT5 and UMT5, the text model of CLIP and SigLIP, sentence encoders, and decoders
    such as Gemma or Qwen by their hidden states. A frozen encoder is loaded when it first reads a
    prompt, once for all conditions of its folder: training from a cache of ``vidiff encode`` does
    without it. Its precision is its own, whatever the trainer's. A checkpoint names the folder and
    a hash of its files, and does not hold the weights; those of one that is trained are held.

    Args:
        folder: holds ``config.json``, the weights and the tokenizer; nothing is downloaded.
        tokenizer: folder of the tokenizer, if it is another one. ``tokenizer_2`` next to a folder
            ``text_encoder_2``, as in pipelines of diffusers, is found by itself.
        tokens: whether the signal has the tokens.
        pooled: the signal's vector: the ``model``'s own (CLIP, BERT), the ``mean`` of the tokens,
            the ``first`` or ``last`` one, or ``none``. ``auto`` is what sentence-transformers noted
            in the folder, else CLIP's own, else the mean. Vectors are not normalised.
        layer: which of transformers' ``hidden_states`` the tokens are: 0 for the embeddings, -1 for
            the last (in CLIP without its final norm). By default the model's output.
        template: text around each prompt, which takes the place of ``{}``.
        crop: first tokens to leave out of the signal: those of the template's beginning.
        max_length: most tokens that are read, with those of the template; the encoder's limit, by
            default. Longer prompts are cut, with a warning.
        padding: to the ``longest`` prompt of a batch, or all to ``max_length``.
        mask: who leaves padding out: ``both`` encoder and network; the ``encoder`` only, and the
            network sees zeros (Wan); or ``none``, and padding is read like words (SD3, CogVideoX).
        dtype: precision of the encoder and of its signals.
        device: where the encoder runs; ``auto`` for the model's device.
        frozen: whether the encoder stays as it is; False trains it along.
        remember: number of prompts whose signals are kept in memory, for few prompts that come
            again and again.

    Raises:
        ValueError: if the folder lacks a part, holds no text encoder, or a setting does not fit it.
    """

    content: Tensor

    def __init__(
        self,
        *,
        folder: str,
        tokenizer: str = "",
        tokens: bool = True,
        pooled: Pooled = "auto",
        layer: int | None = None,
        template: str = "{}",
        crop: int = 0,
        max_length: int | None = None,
        padding: Padding = "longest",
        mask: Literal["both", "encoder", "none"] = "both",
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        device: str = "auto",
        frozen: bool = True,
        remember: int = 0,
    ) -> None:
        arguments = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        super().__init__()
        _check(arguments)
        self.frozen, self.with_tokens, self.layer, self.mask = frozen, tokens, layer, mask
        self.crop, self.remember, self.on = crop, remember, device
        self.dtype = DTYPES[dtype]
        self.folder = open_folder(folder, "a text encoder", tokenizer)
        likeness = empty(self.folder, self.dtype, "meta")
        self._size_up(likeness, pooled)
        config = likeness.model.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None)
        self.reader = PromptReader(
            self.folder, positions, template=template, crop=crop, max_length=max_length,
            padding=padding,
        )  # fmt: skip
        # Settings on which no signal depends are no part of the hash in a checkpoint.
        kept = {k: v for k, v in arguments.items() if k not in ("tokenizer", "device", "remember")}
        self.node: Node = {
            "class_path": f"{type(self).__module__}.{type(self).__qualname__}",
            "init_args": kept | {"pooled": self.pooled},
        }
        self._memory: OrderedDict[str, Signal] = OrderedDict()
        self._borrowed: tuple[Encoder, ...] = ()  # no part of this module
        self.encoder: Encoder | None = None
        self._place()
        if self.encoder is not None:
            self.encoder.requires_grad_(not frozen)
            if not frozen:
                self._freeze_unused(self.encoder, likeness)

    @property
    def dims(self) -> SignalDims:  # type: ignore[override]
        """Widths of the vector and the tokens, as chosen."""
        return self._dims

    def read(self, prompts: Sequence[str]) -> Signal:
        if not self.remember or self.encoder is not None:
            return self._encode(prompts)
        known = self._memory
        if new := [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]:
            signal = self._encode(new).map(lambda x: x.cpu())
            known.update({prompt: in_rows(signal, row) for row, prompt in enumerate(new)})
        for prompt in prompts:
            known.move_to_end(prompt)
        found = stack_signals([known[prompt] for prompt in prompts])
        while len(known) > self.remember:
            known.popitem(last=False)
        return found

    def _encode(self, prompts: Sequence[str], encoder: Encoder | None = None) -> Signal:
        encoder = encoder or self._loaded()
        device = next(encoder.parameters()).device
        ids, real = (x.to(device, non_blocking=True) for x in self.reader(prompts))
        seen = None if self.mask == "none" else real
        grad = torch.is_grad_enabled() and not self.frozen
        with torch.set_grad_enabled(grad), self._own_precision(device):
            hidden, own, _ = encoder(ids, seen, self.layer)
        hidden, real = hidden[:, self.crop :], real[:, self.crop :]
        vector = self._pool(hidden, real, own)
        if not self.with_tokens:
            return Signal(vector=vector)
        if self.mask == "none":
            return Signal(vector, hidden, torch.ones_like(real))
        hidden = hidden.masked_fill(~real.unsqueeze(-1), 0)
        return Signal(vector, hidden, real if self.mask == "both" else torch.ones_like(real))

    def _pool(self, hidden: Tensor, real: Tensor, own: Tensor | None) -> Tensor | None:
        """One vector (b, c) of hidden states (b, l, c), of which some are ``real``."""
        if self.pooled == "model":
            return own
        if self.pooled == "first":
            return hidden[:, 0]
        if self.pooled == "last":
            last = real.sum(1, keepdim=True) - 1
            return hidden.take_along_dim(last.unsqueeze(-1), dim=1)[:, 0]
        if self.pooled == "mean":
            summed = (hidden.float() * real.unsqueeze(-1)).sum(1)
            return (summed / real.sum(1, keepdim=True)).to(hidden.dtype)
        return None

    # -- The encoder ------------------------------------------------------------------------------

    def _size_up(self, likeness: Encoder, pooled: Pooled) -> None:
        """Widths and layers, as an encoder without weights has them; settle what is pooled."""
        path = self.folder.path
        token = torch.zeros(1, 1, dtype=torch.long, device="meta")
        try:
            hidden, own, num_states = likeness(token, None, self.layer)
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{path} holds a {type(likeness.model).__name__}, which cannot be read by text "
                f"({reason}): give the folder of a text encoder"
            ) from error
        if self.layer is not None and not -num_states <= self.layer < num_states:
            raise ValueError(
                f"layer {self.layer} is not there: {path} has hidden states 0 to {num_states - 1}, "
                f"or {-num_states} to -1 from the end"
            )
        is_clip = own is not None and "CLIP" in type(likeness.model).__name__
        if pooled == "auto":
            pooled = self.folder.pooling or ("model" if is_clip else "mean")  # type: ignore[assignment]
        if pooled == "model" and own is None:
            raise ValueError(
                f"pooled: model, and the {type(likeness.model).__name__} in {path} has no pooled "
                "vector of its own: set pooled to mean, first, last or none"
            )
        self.pooled = pooled
        self.text_dim = hidden.shape[-1]
        width = 0 if pooled == "none" else self.text_dim
        if pooled == "model" and own is not None:
            width = own.shape[-1]
        self._dims = SignalDims(vector=width, tokens=self.text_dim * self.with_tokens)

    def _place(self) -> None:
        """Load what is trained, or stands for an encoder in a plan; only name what is frozen."""
        here = torch.empty(0)
        if here.is_meta or detect_fake_mode() is not None:
            self.encoder = empty(self.folder, self.dtype, here.device)
        elif not self.frozen:
            self.encoder = load(self.folder, self.dtype).to(here.device)
            self._check_pooler(self.encoder)
        else:
            content = torch.tensor(list(self.folder.hash), dtype=torch.uint8)
            self.register_buffer("content", content)

    def _loaded(self) -> Encoder:
        """The encoder, where it should be."""
        if self.encoder is not None:
            return self.encoder
        device = self.content.device if self.on == "auto" else torch.device(self.on)
        if not self._borrowed or next(self._borrowed[0].parameters()).device != device:
            self._borrowed = (shared(self.folder, self.dtype, device),)
            self._check_pooler(self._borrowed[0])
        return self._borrowed[0]

    def _check_pooler(self, encoder: Encoder) -> None:
        if self.pooled == "model" and encoder.lacks_pooler:
            raise ValueError(
                f"pooled: model, and {self.folder.path} has no weights for the pooler: set pooled "
                "to mean, first, last or none"
            )

    def _freeze_unused(self, encoder: Encoder, likeness: Encoder) -> None:
        """Parameters that no output depends on, such as later layers, get no gradient."""
        with torch.enable_grad():
            signal = self._encode(["a"], likeness)
        outputs = [x for x in (signal.vector, signal.tokens) if x is not None]
        parameters = dict(likeness.named_parameters())
        gradients = torch.autograd.grad(
            outputs, list(parameters.values()), [torch.ones_like(x) for x in outputs],
            allow_unused=True,
        )  # fmt: skip
        for name, gradient in zip(parameters, gradients, strict=True):
            encoder.get_parameter(name).requires_grad_(gradient is not None)

    def _own_precision(self, device: torch.device) -> AbstractContextManager[Any]:
        """No mixed precision around what is frozen, so that a cache and all runs agree."""
        if not self.frozen or device.type == "meta":
            return nullcontext()
        return torch.autocast(device.type, enabled=False)

    def train(self, mode: bool = True) -> Self:
        """A frozen encoder stays in evaluation mode."""
        return super().train(mode and not self.frozen)


def _check(settings: dict[str, Any]) -> None:
    """Refuse settings that do not fit each other, before anything is read."""
    at_least(0, remember=settings["remember"])
    if not settings["tokens"] and settings["pooled"] == "none":
        raise ValueError("tokens: false and pooled: none leave no signal: set one of them")
    if settings["mask"] != "both" and settings["padding"] == "longest":
        raise ValueError(
            f"mask: {settings['mask']} lets the network see padding, whose amount would depend on "
            "the other prompts of a batch: set padding: max_length, and max_length"
        )
    if not settings["frozen"] and (settings["remember"] or settings["device"] != "auto"):
        raise ValueError(
            "frozen: false trains the encoder with the model: leave remember at 0 and device at "
            f"auto, got {settings['remember']} and {settings['device']!r}"
        )
    if settings["device"] != "auto":
        try:
            torch.empty(0, device=settings["device"])
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"device {settings['device']!r} cannot be used here ({reason}): set auto or cpu"
            ) from error
