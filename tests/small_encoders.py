"""Small random encoders of every class, saved by transformers with a tokenizer of whole words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import TemplateProcessing

from vidiff.data.shapes import COMBINATIONS

WORDS = sorted({word for c in COMBINATIONS for word in c.caption.split()})
SPECIAL = ["<pad>", "</s>", "<s>", "<unk>"]
VOCABULARY = {word: number for number, word in enumerate([*SPECIAL, *WORDS, "video", ":", "of"])}
SIZE = len(VOCABULARY)
SMALL = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "vocab_size": SIZE, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
}  # fmt: skip
T5 = {
    "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": SIZE,
}  # fmt: skip
DECODER = SMALL | {"num_key_value_heads": 1, "head_dim": 8}
QWEN = DECODER | {"vocab_size": 300, "max_position_embeddings": 512}
CLIP = SMALL | {"max_position_embeddings": 12, "projection_dim": 8}


def model(name: str) -> Any:
    """The model of a class, with weights that are large enough for all inputs to matter."""
    makers = {
        "t5": lambda: transformers.T5EncoderModel(transformers.T5Config(**T5)),
        "umt5": lambda: transformers.UMT5EncoderModel(transformers.UMT5Config(**T5)),
        "clip": lambda: transformers.CLIPTextModel(transformers.CLIPTextConfig(**CLIP)),
        "clip_projection": lambda: transformers.CLIPTextModelWithProjection(
            transformers.CLIPTextConfig(**CLIP)
        ),
        "bert": lambda: transformers.BertModel(transformers.BertConfig(**SMALL)),
        "qwen2": lambda: transformers.Qwen2Model(transformers.Qwen2Config(**QWEN)),
        "gemma2": lambda: transformers.Gemma2Model(transformers.Gemma2Config(**DECODER)),
    }
    with torch.random.fork_rng():
        torch.manual_seed(2)
        made = makers[name]().eval()
        with torch.no_grad():
            for parameter in made.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return made


def tokenizer(name: str) -> Any:
    """A tokenizer whose tokens are words, or letters where transformers takes no other.

    Those of encoders put ``</s>`` after each prompt; those of decoders put nothing around it.
    """
    if name == "qwen2":
        letters = ByteLevel.alphabet()
        vocabulary = {letter: 5 + number for number, letter in enumerate(sorted(letters))}
        return transformers.Qwen2Tokenizer(
            vocab=vocabulary | {"<|endoftext|>": 2}, merges=[], padding_side="left"
        )
    words = Tokenizer(WordLevel(VOCABULARY, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    if name not in DECODERS:
        words.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        bos_token="<s>", padding_side="left" if name in DECODERS else "right",
    )  # fmt: skip


NAMES = ("t5", "umt5", "clip", "clip_projection", "bert", "qwen2", "gemma2")
DECODERS = ("qwen2", "gemma2")


def save(folder: Path, name: str) -> Path:
    """A folder of a class's model and tokenizer, as users have it."""
    model(name).save_pretrained(folder)
    tokenizer(name).save_pretrained(folder)
    return folder
