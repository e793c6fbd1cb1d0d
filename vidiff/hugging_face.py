"""Folders of models as Hugging Face's libraries save them; no weights are loaded here."""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from vidiff.files import read_json, sha256

CONFIG = "config.json"
WEIGHTS = (
    "model.safetensors", "model.safetensors.index.json",
    "pytorch_model.bin", "pytorch_model.bin.index.json",
)  # fmt: skip
"""The first one found is read; an index names the files of weights that are split."""

VOCABULARIES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model",
    "tokenizer.model",
)  # fmt: skip
"""Files of which a tokenizer needs at least one."""

TOKENIZER = (
    *VOCABULARIES, "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
"""Files that decide what tokens a prompt has."""

POOLING, LENGTH = "1_Pooling/config.json", "sentence_bert_config.json"
"""Files of sentence-transformers: how to pool, and the number of tokens read at most."""


@dataclass(frozen=True)
class ModelFolder:
    """A folder with ``config.json`` and weights, and the folder of its tokenizer."""

    path: Path
    tokenizer: Path

    @cached_property
    def weights(self) -> list[Path]:
        """The files of weights, the index first if there is one."""
        first = next(self.path / name for name in WEIGHTS if (self.path / name).is_file())
        if first.suffix != ".json":
            return [first]
        names = read_json(first).get("weight_map", {}).values()
        files = [self.path / name for name in sorted(set(names))]
        for file in files:
            if not file.is_file() or file.parent != self.path:
                raise ValueError(
                    f"{first} names {file.name}, which is not beside it: copy the folder again"
                )
        return [first, *files]

    @cached_property
    def hash(self) -> bytes:
        """The SHA-256 of all files that decide a signal, by their names and their own SHA-256."""
        own = [CONFIG, POOLING, LENGTH]
        files = {name: self.path / name for name in own} | {f.name: f for f in self.weights}
        files |= {f"tokenizer/{name}": self.tokenizer / name for name in TOKENIZER}
        there = [(name, file) for name, file in sorted(files.items()) if file.is_file()]
        listing = "\n".join(f"{name} {_sha256(file, *_state(file))}" for name, file in there)
        return hashlib.sha256(listing.encode()).digest()

    @cached_property
    def state(self) -> tuple[Any, ...]:
        """Size and time of the files of weights: another one means that they were replaced."""
        return tuple((file.name, *_state(file)) for file in self.weights)

    @property
    def pooling(self) -> str | None:
        """How sentence-transformers pools: ``mean``, ``first`` or ``last``; None if not told."""
        if not (self.path / POOLING).is_file():
            return None
        told = read_json(self.path / POOLING)
        modes = {
            "pooling_mode_mean_tokens": "mean",
            "pooling_mode_cls_token": "first",
            "pooling_mode_lasttoken": "last",
        }
        found = [way for key, way in modes.items() if told.get(key)]
        return found[0] if len(found) == 1 else None

    @property
    def sentence_length(self) -> int | None:
        """The most tokens that sentence-transformers reads; None if not told."""
        if not (self.path / LENGTH).is_file():
            return None
        return read_json(self.path / LENGTH).get("max_seq_length")


def open_folder(folder: str, model: str, tokenizer: str = "") -> ModelFolder:
    """The parts of a folder; ``ValueError`` if one is missing, where ``model`` is what it lacks.

    In a pipeline of diffusers the tokenizer of ``text_encoder_2`` is in ``tokenizer_2`` next to it,
    which is found without being named.
    """
    path = Path(folder).expanduser()
    if not folder or not path.is_dir():
        raise ValueError(
            f"folder {folder!r} does not exist: give one that holds {model} as "
            "transformers saves it, with config.json, weights and tokenizer; nothing is downloaded"
        )
    if not (path / CONFIG).is_file():
        inside = sorted(p.parent.name for p in path.glob(f"text_encoder*/{CONFIG}"))
        hint = f"; it has the encoders {', '.join(inside)}: give one of these" if inside else ""
        raise ValueError(
            f"{path} holds no {CONFIG}, so it is no folder that transformers' save_pretrained "
            f"wrote{hint}; it holds {_content(path)}"
        )
    if not any((path / name).is_file() for name in WEIGHTS):
        raise ValueError(
            f"{path} holds no weights: it needs {WEIGHTS[0]} (or one of {', '.join(WEIGHTS[1:])}), "
            f"and holds {_content(path)}"
        )
    beside = path.with_name(path.name.replace("text_encoder", "tokenizer", 1))
    places = [Path(tokenizer).expanduser()] if tokenizer else [path, beside]
    found = next((p for p in places if any((p / name).is_file() for name in VOCABULARIES)), None)
    if found is None:
        raise ValueError(
            f"{places[0]} holds no tokenizer (none of {', '.join(VOCABULARIES)}): put the "
            "tokenizer's files there, or give their folder as tokenizer"
        )
    return ModelFolder(path, found)


def library() -> Any:
    """The package transformers, imported late; ``ValueError`` if it cannot be."""
    # Prompts are few and short, and processes that fork later would be warned of.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            f"models of transformers need that package, which cannot be imported ({error}): "
            "pip install 'vidiff[pretrained]'"
        ) from error
    return transformers


@contextmanager
def explained(what: str, package: Literal["transformers", "diffusers"]) -> Iterator[None]:
    """Turn an error of a package, of whatever type, into one line; silence what it reports."""
    logging = importlib.import_module(f"{package}.utils.logging")
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"{what}: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _content(path: Path) -> str:
    names: Sequence[str] = sorted(file.name for file in path.iterdir())
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "nothing"


def _state(file: Path) -> tuple[int, int]:
    known = file.stat()
    return known.st_size, known.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _sha256(file: Path, size: int, time: int) -> str:
    return sha256(file)
