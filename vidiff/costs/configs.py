"""What a parsed config of ``vidiff fit`` says about costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from os.path import exists
from typing import TYPE_CHECKING, Any

from vidiff.config_nodes import arguments_of
from vidiff.registry import nearest

if TYPE_CHECKING:
    from vidiff.types import Size  # which needs torch, and light commands start without it

SIZE = ("num_frames", "height", "width")
SHARDED = ("model_parallel", "modelparallel", "fsdp")
"""Parts of the names of strategies that share the weights among the devices."""


def checkpoint_of(node: Any) -> str | None:
    """The checkpoint that a parsed node of an earlier run's autoencoder names; None for others."""
    from vidiff.autoencoders import Trained

    checkpoint = (node.get("init_args") or {}).get("checkpoint")
    is_trained = checkpoint and issubclass(_class(node["class_path"]), Trained)
    return checkpoint if is_trained else None


def refuse_missing(node: Any) -> None:
    """Raise a ``ValueError`` if an autoencoder of the node is still to be trained, without size."""
    if not isinstance(node, Mapping):
        return
    if (checkpoint := checkpoint_of(node)) and not exists(checkpoint):
        raise ValueError(
            f"checkpoint {checkpoint} does not exist yet, and what it holds is part of the plan: "
            "train it first (`vidiff fit` with its own config), or plan with the part that it will "
            "hold, as in --model.autoencoder causal_kl"
        )
    for below in node.values():
        refuse_missing(below)


def clip_sizes(dataset: Any, asked: Mapping[str, int | None] | None = None) -> list[Any]:
    """Frames, height and width of a dataset's clips; None for what nothing says.

    ``asked`` counts by name, before the arguments of the dataset, a class or a config node.
    """
    known = arguments(dataset)
    given = {name: count for name, count in (asked or {}).items() if count is not None}
    several = [dict(zip(SIZE, size, strict=True)) for size in known.get("sizes") or ()]
    counts = [[(known | size | given).get(name) for name in SIZE] for size in several or [{}]]
    return [tuple(n if isinstance(n, int) else None for n in size) for size in counts]


def planned_clip(dataset: Any, asked: Mapping[str, int | None]) -> Size:
    """The one of ``clip_sizes`` of most pixels, which needs most memory; it must be known."""
    sizes = clip_sizes(dataset, asked)
    if missing := [name for name, count in zip(SIZE, sizes[0], strict=True) if count is None]:
        options = " ".join(f"--{name.replace('_', '-')} N" for name in missing)
        raise ValueError(
            f"the size of a clip is not known: the dataset has no {', '.join(missing)}; "
            f"give {options}"
        )
    return max(sizes, key=math.prod)


def arguments(part: Any) -> dict[str, Any]:
    """What a part will be built with: a class, or a parsed config node."""
    cls, given = _class(getattr(part, "class_path", part)), getattr(part, "init_args", None)
    defaults = {name: p.default for name, p in arguments_of(cls).items()}
    return {**defaults, **(given.as_dict() if given else {})}


def _class(path: Any) -> type:
    from jsonargparse._util import import_object

    return import_object(path) if isinstance(path, str) else path


def plan_settings(
    trainer: Any, device: str | None = None, devices: int | None = None, strategy: str | None = None
) -> dict[str, Any]:
    """The settings of a trainer's parsed node, as ``plan`` takes them; arguments count first."""
    on_cpu = device == "cpu" or (device is None and trainer.accelerator == "cpu")
    return {
        "device": "cpu" if on_cpu else "cuda",
        "precision": _precision(trainer.precision, device or ("cpu" if on_cpu else "cuda")),
        "num_devices": devices if devices is not None else num_devices(trainer),
        "sharded": _is_sharded(strategy or trainer.strategy),
        "accumulate": trainer.accumulate_grad_batches,
    }


def _precision(name: Any, device: str) -> str:
    from vidiff.precision import AUTO, choose

    if name == AUTO:
        return choose(device).precision
    aliases = {"16": "16-mixed", "bf16": "bf16-mixed", "32": "32-true", "None": "32-true"}
    return aliases.get(str(name), str(name))


def num_devices(trainer: Any) -> int:
    """Those that the config counts; one where it leaves that to the machine."""
    devices = trainer.devices
    if isinstance(devices, str) and devices.lstrip("-").isdigit():
        devices = int(devices)
    elif isinstance(devices, str) and devices != "auto":
        devices = devices.split(",")
    each = len(devices) if isinstance(devices, list) else devices
    return max(each, 1) * trainer.num_nodes if isinstance(each, int) else trainer.num_nodes


def _is_sharded(strategy: Any) -> bool:
    """Whether the devices share the weights, where the strategy's name tells."""
    name = str(strategy if isinstance(strategy, str) else strategy.class_path)
    name = name.rpartition(".")[2].lower()
    if any(word in name for word in SHARDED):
        return True
    if name.startswith("ddp") or name in ("auto", "single_device", "singledevicestrategy"):
        return False
    raise ValueError(
        f"no plan for the strategy {name!r}{nearest(name, ['ddp', 'model_parallel', 'fsdp'])}; "
        "known: ddp, model_parallel, fsdp"
    )
