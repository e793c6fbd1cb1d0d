"""A language model from a folder on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

from vidiff.checks import at_least
from vidiff.hugging_face import explained, library, open_folder
from vidiff.registry import register
from vidiff.rewriters.base import SYSTEM, Rewriter, Rewritten
from vidiff.rewriters.cache import AnswerCache
from vidiff.seeds import mix

if TYPE_CHECKING:
    import torch


@register("local")
class Local(Rewriter):
    """A causal language model in Hugging Face format, loaded to rewrite and released after it.

    The tokenizer's chat template is used where it has one. Nothing is downloaded.

    Args:
        folder: with ``config.json``, safetensors and a tokenizer.
        system: the instruction that precedes each prompt.
        max_new_tokens: the longest answer, in tokens.
        temperature: of the draws; 0 for the most probable words.
        seed: of the draws.
        batch_size: prompts rewritten at once.
        dtype: of the weights; ``auto`` is bfloat16 where the device is fast in it, else float32.
        device: ``auto`` is a GPU if there is one.
        cache: whether answers are kept in, and taken from, ``$VIDIFF_CACHE/rewriters``.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        folder: str,
        system: str = SYSTEM,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        seed: int = 0,
        batch_size: int = 8,
        dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto",
        device: str = "auto",
        cache: bool = True,
    ) -> None:
        at_least(1, max_new_tokens=max_new_tokens, batch_size=batch_size)
        at_least(0, temperature=temperature)
        self.folder = Path(folder).expanduser()
        self.system, self.max_new_tokens, self.temperature = system, max_new_tokens, temperature
        self.seed, self.batch_size, self.dtype, self.device = seed, batch_size, dtype, device
        self.is_cached = cache

    def rewrite(self, prompts: Sequence[str]) -> Iterator[Rewritten]:
        import torch

        from vidiff.precision import device_of

        device = torch.device(device_of("auto") if self.device == "auto" else self.device)
        cache = AnswerCache(self._settings(), self.is_cached)
        loaded: tuple[Any, Any] | None = None
        for start in range(0, len(prompts), self.batch_size):
            some = prompts[start : start + self.batch_size]
            known = cache.known(some)
            if missing := [prompt for prompt, answer in known.items() if answer is None]:
                loaded = loaded or self._load(device)
                for prompt, answer in zip(missing, self._ask(*loaded, missing), strict=True):
                    known[prompt] = answer
                    cache.keep(prompt, answer)
            for prompt in some:
                yield Rewritten.answered(prompt, known.get(prompt))

    def _settings(self) -> dict[str, Any]:
        """Everything that decides an answer, the folder by the hash of its files."""
        folder = open_folder(str(self.folder), "a causal language model")
        return {
            "model": folder.hash.hex(),
            "system": self.system, "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature, "seed": self.seed, "dtype": self.dtype,
        }  # fmt: skip

    def _load(self, device: torch.device) -> tuple[Any, Any]:
        import torch

        from vidiff.precision import compute_dtype

        transformers, folder = library(), open_folder(str(self.folder), "a causal language model")
        dtype = compute_dtype(device) if self.dtype == "auto" else getattr(torch, self.dtype)
        options = {"local_files_only": True, "trust_remote_code": False}
        what = f"{folder.path} cannot be loaded as a causal language model with its tokenizer"
        with explained(what, "transformers"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder.tokenizer, padding_side="left", **options
            )
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder.path, dtype=dtype, use_safetensors=True, **options
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return model.to(device).eval(), tokenizer

    def _ask(self, model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[str]:
        """Answers to prompts; draws of one prompt do not depend on the others'."""
        if self.temperature > 0 and len(prompts) > 1:
            return [self._ask(model, tokenizer, [prompt])[0] for prompt in prompts]
        import torch

        texts = [self._question(tokenizer, prompt) for prompt in prompts]
        given = tokenizer(
            texts, return_tensors="pt", padding=True, return_token_type_ids=False,
            add_special_tokens=not getattr(tokenizer, "chat_template", None),
        ).to(model.device)  # fmt: skip
        drawn = {"do_sample": True, "temperature": self.temperature} if self.temperature else {}
        devices = [model.device] if model.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices):
            torch.manual_seed(mix(self.seed, crc32(prompts[0].encode())))
            out = model.generate(
                **given, max_new_tokens=self.max_new_tokens, pad_token_id=tokenizer.pad_token_id,
                **({"do_sample": False} | drawn),
            )  # fmt: skip
        answers = out[:, given["input_ids"].shape[1] :]
        return list(tokenizer.batch_decode(answers, skip_special_tokens=True))

    def _question(self, tokenizer: Any, prompt: str) -> str:
        if not getattr(tokenizer, "chat_template", None):
            return f"{self.system}\n\nPrompt: {prompt}\nNew prompt:"
        messages = [
            {"role": "system", "content": self.system},
            {"role": "user", "content": prompt},
        ]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return str(text)
