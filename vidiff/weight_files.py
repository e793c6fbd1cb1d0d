"""Files of weights as others write them: any wrapping, read without running their code."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

Weights = dict[str, Tensor]

AVERAGES = ("ema", "ema_model", "model_ema", "params_ema", "ema_state_dict", "averaged_model")
"""What training code calls a moving average of the weights, which is preferred."""

WRAPPERS = (
    *AVERAGES, "param", "params", "module", "model", "net", "network", "state_dict", "shadow",
    "model_state_dict", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
)  # fmt: skip
"""What training code puts around weights, as keys of dictionaries and before their names."""

INSIDE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Wrappers that also stand in the middle of names, around single blocks."""

_MOST_GLOBALS = 100


def read_weights(path: Path) -> Weights:
    """The tensors of a state dict, by the names that the model itself gives them.

    Of a safetensors file or one that torch saved: bare, or inside a training's checkpoint, where a
    moving average is preferred. Prefixes of wrappers go, in any order and depth. Nothing that the
    file names is called: objects beside the tensors (options, configs) are not rebuilt. A
    ``ValueError`` if there is no such file, it cannot be read, or holds no state dict, or several.
    """
    if not path.is_file():
        raise ValueError(
            f"{path} is not a file: give one of weights, .safetensors or what torch.save wrote"
        )
    try:
        found, objects = _read(path)
    except _Refusal:
        raise
    except Exception as error:  # a damaged pickle raises what it likes
        raise _Refusal(path, why_unreadable(error)) from error
    tensors = unwrapped(_state_dict(found, path, objects))
    return {name: value for name, value in tensors.items() if isinstance(value, Tensor)}


def unwrapped(tensors: dict[str, Any]) -> dict[str, Any]:
    """The names without prefixes of wrappers; of several sets an average, or else the largest."""
    sets: dict[tuple[str, ...], dict[str, Any]] = {}
    for name, value in tensors.items():
        parts = [part for part in name.split(".")[:-1] if part not in INSIDE]
        begin = next((i for i, p in enumerate(parts) if p not in WRAPPERS), len(parts))
        rest = ".".join([*parts[begin:], name.rpartition(".")[2]])
        sets.setdefault(tuple(parts[:begin]), {})[rest] = value
    averaged = {wrap: held for wrap, held in sets.items() if {*wrap} & {*AVERAGES}}
    return max((averaged or sets).values(), key=len)


def why_unreadable(error: BaseException) -> str:
    """Why a file of weights cannot be read: half a sentence, whatever the library says."""
    text = " ".join(str(error).split())
    named = re.search(r"GLOBAL (\S+) was not an allowed global", text)
    blocked = re.search(r"unsupported GLOBAL (\S+) whose module \S+ is blocked", text)
    if blocked:
        return f"it would call {blocked[1]}, which weights have no need of: do not trust this file"
    if named:
        return f"it holds objects of Python ({named[1]}) beside tensors and plain values"
    if isinstance(error, EOFError) or re.search(
        "central directory|zip archive|not in archive", text
    ):
        return "it is cut off or damaged: copy or download it again"
    if isinstance(error, SafetensorError):
        return f"it is no whole safetensors file ({text}): copy or download it again"
    if re.search("Trying to (call reduce|set a)|Can only (build|create)|Trying to load", text):
        return (
            "it holds objects of Python that cannot be passed over: have its author save "
            "model.state_dict() alone"
        )
    if "Weights only load failed" in text:
        return "it is damaged, or no file that torch.save wrote"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return re.split(r"(?<=[.:;!?])\s", text)[0].rstrip(".:;") or type(error).__name__


class _Inert:
    """Stands in the place of an object that a file names, and does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = __init__


def _read(path: Path) -> tuple[Any, list[str]]:
    """What a file holds, and the names of the objects that were not rebuilt."""
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith((b"version https://git-lfs", b"<!DOCTYPE", b"<html", b"<?xml")):
        why = "it is a page or a pointer of git-lfs, and the weights are elsewhere"
        raise _Refusal(path, f"{why}: download them again")
    if path.suffix == ".safetensors":
        return load_file(path), []
    inert: list[str] = []
    while True:
        allowed = [argparse.Namespace, *((_Inert, name) for name in inert)]
        try:
            with torch.serialization.safe_globals(allowed):  # type: ignore[arg-type]
                return torch.load(path, map_location="cpu", weights_only=True), inert
        except pickle.UnpicklingError as error:
            named = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
            name = named[1] if named and "." in named[1] else f"builtins.{named and named[1]}"
            if named is None or name in inert or len(inert) == _MOST_GLOBALS:
                raise
            inert.append(name)


def _state_dict(found: Any, path: Path, objects: list[str]) -> dict[str, Any]:
    """The dictionary of tensors, however deep it lies."""
    several = [part for part in _lists(found) if len(part) > 1]
    for part in _lists(found):
        if len(part) == 1:
            found = part[0]
    dicts = list(_dicts(found))
    if not dicts and several:
        advice = "save the one that you want, torch.save(torch.load(path)[0], 'one.pt')"
        raise _Refusal(path, f"it holds a list of {len(several[0])} state dicts: {advice}")
    if not dicts:
        beside = f" beside objects of Python ({', '.join(objects[:3])})" if objects else ""
        advice = "save one by torch.save(model.state_dict(), path)"
        raise _Refusal(path, f"it holds no state dict of tensors{beside}: {advice}")

    def num_values(tensors: dict[str, Any]) -> int:
        return sum(v.numel() for v in tensors.values() if isinstance(v, Tensor))

    averaged = [held for keys, held in dicts if {*keys} & {*AVERAGES}]
    return max(averaged or [held for _, held in dicts], key=num_values)


def _lists(found: Any) -> Iterator[Any]:
    """The lists of dictionaries at the top, or right below it."""
    below = found.values() if isinstance(found, dict) else ()
    for part in (found, *below):
        if isinstance(part, (list, tuple)) and part and all(isinstance(x, dict) for x in part):
            yield part


def _dicts(found: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict]]:
    """Dictionaries that hold tensors by name, with the keys that lead to them."""
    if not isinstance(found, dict):
        return
    # An optimizer's state, too, is tensors by name, but in the keys of no wrapper.
    if any(isinstance(v, Tensor) and isinstance(k, str) for k, v in found.items()):
        yield keys, found
    for key, value in found.items():
        if key in WRAPPERS:
            yield from _dicts(value, (*keys, key))


class _Refusal(ValueError):
    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} cannot be read as weights: {why}")
