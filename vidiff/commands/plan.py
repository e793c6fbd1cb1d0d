"""``vidiff plan``: what an experiment will cost, before it is run."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from os.path import exists
from typing import TYPE_CHECKING, Any

from vidiff.checks import positive
from vidiff.cli.errors import unknown
from vidiff.commands.base import Command
from vidiff.errors import UsageError
from vidiff.registry import nearest, register
from vidiff.units import large

if TYPE_CHECKING:
    from vidiff.training import Task
    from vidiff.training.planning import Costs
    from vidiff.types import Grid

DEVICES = ("a100", "h100", "h200", "cpu")
MEMORY = {"a100": 80, "h100": 80, "h200": 141}
"""GiB of each."""

SIZE = ("num_frames", "height", "width")
SHARDED = ("model_parallel", "modelparallel", "fsdp")
"""Parts of the names of strategies that share the weights among the devices."""


@register("plan")
class Plan(Command):
    """Say what an experiment will cost before it is run: parameters, compute, memory, time.

    It takes every option of `vidiff fit`, and opens no data. For example:
    vidiff plan -c experiments/quickstart/pixel.yaml --model.denoiser.depth 8 --device h100
    """

    passes_on = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.usage = "vidiff plan -c CONFIG [--KEY VALUE …] [options below]"
        parser.add_argument(
            "--device", choices=DEVICES, metavar="NAME",
            help=f"what is trained on: {', '.join(DEVICES)}, the last being this machine, whose "
            "speed is measured (default: a GPU of unknown speed, or a CPU if trainer.accelerator "
            "says so)",
        )  # fmt: skip
        parser.add_argument(
            "--devices", type=int, metavar="N",
            help="how many, on all nodes together (default: the trainer's)",
        )  # fmt: skip
        parser.add_argument(
            "--strategy", metavar="NAME",
            help="ddp: each device has all weights; model_parallel or fsdp: they share them "
            "(default: the trainer's)",
        )  # fmt: skip
        parser.add_argument(
            "--peak-tflops", "--peak_tflops", type=float, metavar="X",
            help="peak of a device, in 10^12 operations a second (default: the named device's)",
        )  # fmt: skip
        parser.add_argument(
            "--utilisation", "--utilization", type=float, default=0.4, metavar="SHARE",
            help="share of the peak that training reaches (default: 0.4)",
        )  # fmt: skip
        for name, words in {
            "num-frames": "frames of a clip", "height": "of a clip, in pixels",
            "width": "of a clip, in pixels",
        }.items():  # fmt: skip
            parser.add_argument(
                f"--{name}", *([f"--{name.replace('-', '_')}"] if "-" in name else []),
                type=int, metavar="N", help=f"{words} (default: the dataset's)",
            )  # fmt: skip
        parser.add_argument(
            "--caption", metavar="TEXT", help="of every clip (default: a sentence of 14 words)"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")
        self.options = [a.option_strings[0][2:] for a in parser._actions if a.dest != "help"]

    def run(self, args: Namespace) -> int:
        from vidiff.training.planning import plan

        config, task = _parse(args.rest, self.options)
        settings = read_settings(config.trainer, args)
        clip = _clip(config.data.dataset, args)
        made = plan(
            task, clip=clip, batch_size=config.data.batch_size, caption=args.caption, **settings
        )
        peak = read_peak(args, settings["precision"], config.trainer.matmul_precision)
        if peak is None and args.device == "cpu":
            peak = measured_peak(settings["precision"])
        time = _time(made, peak, args.utilisation, config.trainer.max_steps, settings)
        if time is not None:
            time["is_measured"] = args.device == "cpu" and args.peak_tflops is None
        report = _report(made, settings, time)
        room = _room(args.device)
        print(json.dumps(report, indent=2) if args.json else _page(made, settings, time, room))
        return 0


def _parse(words: Sequence[str], own_options: Sequence[str]) -> tuple[Any, Task]:
    """The config as ``fit`` reads it, and the task that it asks for, without its parts."""
    from jsonargparse import Namespace as Node

    from vidiff.cli.model import make_parser

    parser = make_parser()
    assert parser._subcommands_action is not None
    fit = parser._subcommands_action.choices["fit"]
    taken = {_top(option) for action in fit._actions for option in action.option_strings}
    for word in words:
        if word.startswith("--") and _top(word) not in taken:
            option = word[2:].partition("=")[0]
            raise UsageError(unknown(option, option, [*own_options, *fit.option_names()]))
    config = parser.parse_args(["fit", *words]).fit
    _refuse_missing(config.model.as_dict())
    return config, fit.instantiate(Node(model=config.model)).model


def _top(option: str) -> str:
    """``--model.denoiser=dit`` to ``--model``."""
    return re.split(r"[.=+]", option)[0]


def _refuse_missing(node: Any) -> None:
    """An autoencoder that is still to be trained has no size yet.

    Raises:
        ValueError: if there is such a one in the node or below.
    """
    if not isinstance(node, Mapping):
        return
    checkpoint = checkpoint_of(node)
    if checkpoint and not exists(checkpoint):
        raise ValueError(
            f"checkpoint {checkpoint} does not exist yet, and what it holds is part of the plan: "
            "train it first (`vidiff fit` with its own config), or plan with the part that it will "
            "hold, as in --model.autoencoder causal_kl"
        )
    for below in node.values():
        _refuse_missing(below)


def checkpoint_of(node: Any) -> str | None:
    """The checkpoint that a parsed node of an earlier run's autoencoder names; None for others."""
    from vidiff.autoencoders import Trained

    checkpoint = (node.get("init_args") or {}).get("checkpoint")
    is_trained = checkpoint and issubclass(_class(node["class_path"]), Trained)
    return checkpoint if is_trained else None


def _clip(dataset: Any, args: Namespace) -> Grid:
    """The size that is planned for; of several the one of most pixels, which needs most memory.

    Raises:
        ValueError: if nothing says it.
    """
    sizes = clip_sizes(dataset, {name: getattr(args, name) for name in SIZE})
    if missing := [name for name, count in zip(SIZE, sizes[0], strict=True) if count is None]:
        options = " ".join(f"--{name.replace('_', '-')} N" for name in missing)
        raise ValueError(
            f"the size of a clip is not known: the dataset has no {', '.join(missing)}; "
            f"give {options}"
        )
    return max(sizes, key=math.prod)


def clip_sizes(dataset: Any, asked: Mapping[str, int | None] | None = None) -> list[Any]:
    """The sizes of a dataset's clips: as asked for, else as its arguments say.

    Args:
        dataset: a class, or a config node.
        asked: what is not to be as there, by name.

    Returns:
        Frames, height and width of each; None for what nothing says.
    """
    known = arguments(dataset)
    given = {name: count for name, count in (asked or {}).items() if count is not None}
    several = [dict(zip(SIZE, size, strict=True)) for size in known.get("sizes") or ()]
    counts = [[(known | size | given).get(name) for name in SIZE] for size in several or [{}]]
    return [tuple(n if isinstance(n, int) else None for n in size) for size in counts]


def arguments(part: Any) -> dict[str, Any]:
    """What a part will be built with: a class, or a parsed config node."""
    node = part if hasattr(part, "class_path") else None
    cls = _class(node.class_path if node else part)
    defaults = {name: p.default for name, p in inspect.signature(cls).parameters.items()}
    given = node.get("init_args") if node else None
    return {**defaults, **(given.as_dict() if given else {})}


def _class(path: Any) -> type:
    from jsonargparse._util import import_object

    return import_object(path) if isinstance(path, str) else path


def read_settings(trainer: Any, args: Namespace) -> dict[str, Any]:
    """What the trainer decides, as ``plan`` takes it."""
    on_cpu = args.device == "cpu" or (args.device is None and trainer.accelerator == "cpu")
    return {
        "device": "cpu" if on_cpu else "cuda",
        "precision": _precision(trainer.precision, args.device or ("cpu" if on_cpu else "cuda")),
        "num_devices": args.devices if args.devices is not None else num_devices(trainer),
        "sharded": _is_sharded(args.strategy or trainer.strategy),
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
    """Whether the devices share the weights.

    Raises:
        ValueError: if the strategy is not known to share them or not to.
    """
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


def measured_peak(precision: str) -> float:
    """What this machine's CPU reaches in matrix products, over 10^12 operations a second."""
    from vidiff.doctor.device import speed_of

    dtypes = {"bf16": "bfloat16", "16": "float16"}
    return speed_of("cpu", dtypes.get(precision.partition("-")[0], "float32")) / 1e12


def read_peak(args: Namespace, precision: str, matmul: str = "highest") -> float | None:
    """Operations a second that a device could do, over 10^12; None where nobody knows.

    Args:
        args: the options of ``plan``.
        precision: the trainer's.
        matmul: the trainer's ``matmul_precision``; TF32 unless it is ``highest``.
    """
    from vidiff.training.planning import TFLOPS

    positive(peak_tflops=args.peak_tflops)
    if args.peak_tflops is not None or args.device not in TFLOPS:
        return args.peak_tflops
    half, tf32, single = TFLOPS[args.device]
    if precision != "32-true":
        return half
    return single if matmul == "highest" else tf32


def _time(
    made: Costs, peak: float | None, utilisation: float, steps: int, settings: dict[str, Any]
) -> dict[str, Any] | None:
    if peak is None:
        return None
    seconds = made.seconds_per_step(peak, utilisation)
    known = steps is not None and steps >= 0
    return {
        "peak_tflops": peak,
        "utilisation": utilisation,
        "seconds_per_step": seconds,
        "steps": steps if known else None,
        "device_hours": seconds * steps * settings["num_devices"] / 3600 if known else None,
    }


def _report(made: Costs, settings: dict[str, Any], time: dict[str, Any] | None) -> dict[str, Any]:
    """For machines: plain counts, bytes and seconds."""
    memory = {**vars(made.memory), "total": made.memory.total}
    return {
        **settings,
        "clip": made.clip,
        "latents": made.latents,
        "tokens_per_clip": made.tokens_per_clip,
        "clips_per_step": made.clips_per_step,
        "tokens_per_step": made.tokens_per_step,
        "parameters": {
            "trained": sum(part.trained for part in made.parts.values()),
            "frozen": sum(part.frozen for part in made.parts.values()),
            "moving_average": made.average,
            "parts": {name: vars(part) for name, part in made.parts.items()},
        },
        "flops_per_step_per_device": made.flops,
        "multiply_adds_per_step_per_device": made.flops // 2,
        "optimizer_flops_per_step_per_device": made.optimizer_flops,
        "bytes_per_device": memory,
        "time": time,
    }


def _page(
    made: Costs, settings: dict[str, Any], time: dict[str, Any] | None, room: int | None
) -> str:
    count, sharded = settings["num_devices"], settings["sharded"] and settings["num_devices"] > 1
    per_device = "per device" if count > 1 else ""
    shared = ", shared among the devices" if sharded else ""
    casts = ", casts of weights too" if settings["precision"].endswith("mixed") else ""
    trained = sum(part.trained for part in made.parts.values())
    frozen = sum(part.frozen for part in made.parts.values())
    rows: list[tuple[str, str, str]] = [("Parameters", large(trained + frozen), "")]
    for name, part in made.parts.items():
        sizes = {"trained": part.trained, "frozen": part.frozen}
        said = " and ".join(kind for kind, size in sizes.items() if size)
        rows.append((f"  {name}", large(part.trained + part.frozen), said))
    rows.append(("  moving average", large(made.average), "" if made.average else "none is kept"))
    rows += [
        ("Clip", _product(made.clip), "frames x height x width"),
        *([("Latents", _product(made.latents), "channels first")] if made.latents else []),
        *([("  tokens", f"{made.tokens_per_clip:,}", "")] if made.tokens_per_clip else []),
        ("Step", "", _devices(settings)),
        ("  clips", f"{made.clips_per_step:,}", "on all devices" if count > 1 else ""),
    ]
    if made.tokens_per_clip:
        rows.append(("  tokens", f"{made.tokens_per_step:,}", rows[-1][2]))
    rows += [
        ("  multiply-adds", large(made.flops // 2), per_device),
        ("  operations", large(made.flops), "FLOPs: a multiply-add is two"),
        *(
            [("  optimizer", large(made.optimizer_flops), "FLOPs of its matrix products")]
            if made.optimizer_flops
            else []
        ),
        (f"Memory {per_device}".strip(), "", ""),
        ("  weights", _size(made.memory.weights), ("trained ones" + shared) if sharded else ""),
        ("  gradients", _size(made.memory.gradients), shared[2:]),
        ("  optimizer", _size(made.memory.optimizer), shared[2:]),
        ("  moving average", _size(made.memory.average), shared[2:]),
        ("  activations", _size(made.memory.activations), "kept for the backward pass" + casts),
        ("  together", _size(made.memory.total), _fits(made.memory.total, room)),
        *_time_rows(time),
    ]
    left, middle = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{a:<{left}}  {b:>{middle}}  {c}".rstrip() for a, b, c in rows)


def _room(device: str | None) -> int | None:
    """Bytes of a named device, or of this machine; None where nobody knows."""
    if device == "cpu":
        names = ("SC_PAGE_SIZE", "SC_PHYS_PAGES")
        return math.prod(map(os.sysconf, names)) if {*names} <= {*os.sysconf_names} else None
    return None if device is None else MEMORY[device] * 2**30


def _fits(total: int, room: int | None) -> str:
    if room is None or total <= room:
        return "beside what kernels need for a moment"
    return (
        f"more than the {_size(room)} there are: lower data.batch_size, and raise "
        "trainer.accumulate_grad_batches"
    )


def _time_rows(time: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    if time is None:
        return [("Time", "?", "give --device (cpu measures this machine) or --peak-tflops")]
    peak = f"{time['peak_tflops']:.3g} TFLOP/s"
    at = f"at {time['utilisation']:.0%} of {peak}, which is assumed"
    if time["is_measured"]:
        at = f"at {time['utilisation']:.0%}, which is assumed, of {peak}, measured here"
    rows = [("Time", "", at), ("  step", _duration(time["seconds_per_step"]), "")]
    if time["steps"] is None:
        return [*rows, ("  all steps", "?", "give --trainer.max_steps")]
    total = time["seconds_per_step"] * time["steps"]
    return [
        *rows,
        (f"  {time['steps']:,} steps", _duration(total), "validation and sampling not counted"),
        ("  device-hours", _hours(time["device_hours"]), ""),
    ]


def _devices(settings: dict[str, Any]) -> str:
    count, kind = settings["num_devices"], "CPU" if settings["device"] == "cpu" else "GPU"
    said = f"{count:,} {kind}{'s' if count > 1 else ''}, {settings['precision']}"
    if settings["accumulate"] > 1:
        said += f", {settings['accumulate']} batches each"
    return said


def _product(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))


def _size(number: int) -> str:
    """Bytes as ``1.50 GiB``."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 1024**power:
            return f"{number / 1024**power:,.2f} {unit}"
    return f"{number} B"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
