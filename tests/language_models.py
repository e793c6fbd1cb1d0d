"""Small language models with random weights, saved as users have them."""

from __future__ import annotations

from pathlib import Path

WORDS = "a red blue square circle moves left right still prompt new : . user system"


def save_causal_lm(folder: Path, chat_template: bool = True) -> Path:
    """A Qwen2 of two layers with a tokenizer of a few words, in Hugging Face format."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    words = ["<pad>", "<unk>", "</s>", *dict.fromkeys(WORDS.split())]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    )
    if chat_template:
        fast.chat_template = (
            "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} {% endfor %}"
            "{% if add_generation_prompt %}new :{% endif %}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=256,
                eos_token_id=2, pad_token_id=0, bos_token_id=None,
            )
        )  # fmt: skip
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
