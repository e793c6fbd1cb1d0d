"""A plan as JSON, and as a page of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vidiff.units import large

if TYPE_CHECKING:
    from vidiff.costs.plan import Costs

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Time:
    """How long training takes.

    Attributes:
        peak_tflops: operations a second that a device could do, over 10^12.
        utilisation: share of it that training is assumed to reach.
        seconds_per_step: of a step.
        steps: None if the config does not limit them.
        device_hours: of all steps and devices.
        is_measured: whether the peak was measured on this machine.
    """

    peak_tflops: float
    utilisation: float
    seconds_per_step: float
    steps: int | None
    device_hours: float | None
    is_measured: bool


def report(costs: Costs, settings: Mapping[str, Any], time: Time | None) -> dict[str, Any]:
    """For machines: plain counts, bytes and seconds."""
    return {
        **settings,
        "clip": costs.clip,
        "latents": costs.latents,
        "tokens_per_clip": costs.tokens_per_clip,
        "clips_per_step": costs.clips_per_step,
        "tokens_per_step": costs.tokens_per_step,
        "parameters": {
            "trained": sum(part.trained for part in costs.parts.values()),
            "frozen": sum(part.frozen for part in costs.parts.values()),
            "moving_average": costs.average,
            "parts": {name: vars(part) for name, part in costs.parts.items()},
        },
        "flops_per_step_per_device": costs.flops,
        "multiply_adds_per_step_per_device": costs.flops // 2,
        "optimizer_flops_per_step_per_device": costs.optimizer_flops,
        "bytes_per_device": {**vars(costs.memory), "total": costs.memory.total},
        "time": asdict(time) if time else None,
    }


def page(costs: Costs, settings: Mapping[str, Any], time: Time | None, room: int | None) -> str:
    """For people: a line each.

    Args:
        costs: of a step.
        settings: as ``plan`` takes them.
        time: None if it is not known.
        room: memory of a device in bytes; None if it is not known.
    """
    rows = [
        *_parameters(costs),
        *_step(costs, settings),
        *_memory(costs, settings, room),
        *_time(time),
    ]
    left, middle = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{a:<{left}}  {b:>{middle}}  {c}".rstrip() for a, b, c in rows)


def _parameters(costs: Costs) -> list[Row]:
    parts = {name: (part.trained, part.frozen) for name, part in costs.parts.items()}
    return [
        ("Parameters", large(sum(map(sum, parts.values()))), ""),
        *(
            (
                f"  {name}",
                large(trained + frozen),
                " and ".join(w for w, n in (("trained", trained), ("frozen", frozen)) if n),
            )
            for name, (trained, frozen) in parts.items()
        ),
        ("  moving average", large(costs.average), "" if costs.average else "none is kept"),
    ]


def _step(costs: Costs, settings: Mapping[str, Any]) -> list[Row]:
    several = settings["num_devices"] > 1
    everywhere = "on all devices" if several else ""
    rows = [
        ("Clip", _product(costs.clip), "frames x height x width"),
        ("Latents", _product(costs.latents or ()), "channels first"),
        ("  tokens", f"{costs.tokens_per_clip:,}", ""),
        ("Step", "", _devices(settings)),
        ("  clips", f"{costs.clips_per_step:,}", everywhere),
        ("  tokens", f"{costs.tokens_per_step:,}", everywhere),
        ("  multiply-adds", large(costs.flops // 2), "per device" if several else ""),
        ("  operations", large(costs.flops), "FLOPs: a multiply-add is two"),
        ("  optimizer", large(costs.optimizer_flops), "FLOPs of its matrix products"),
    ]
    absent = {
        "Latents": not costs.latents,
        "  tokens": not costs.tokens_per_clip,
        "  optimizer": not costs.optimizer_flops,
    }
    return [row for row in rows if not absent.get(row[0])]


def _devices(settings: Mapping[str, Any]) -> str:
    count, kind = settings["num_devices"], "CPU" if settings["device"] == "cpu" else "GPU"
    said = f"{count:,} {kind}{'s' if count > 1 else ''}, {settings['precision']}"
    if settings["accumulate"] > 1:
        said += f", {settings['accumulate']} batches each"
    return said


def _memory(costs: Costs, settings: Mapping[str, Any], room: int | None) -> list[Row]:
    memory, several = costs.memory, settings["num_devices"] > 1
    shared = "shared among the devices" if settings["sharded"] and several else ""
    casts = ", casts of weights too" if settings["precision"].endswith("mixed") else ""
    return [
        ("Memory per device" if several else "Memory", "", ""),
        ("  weights", size(memory.weights), f"trained ones, {shared}" if shared else ""),
        ("  gradients", size(memory.gradients), shared),
        ("  optimizer", size(memory.optimizer), shared),
        ("  moving average", size(memory.average), shared),
        ("  activations", size(memory.activations), "kept for the backward pass" + casts),
        ("  together", size(memory.total), fits(memory.total, room)),
    ]


def fits(total: int, room: int | None) -> str:
    """Whether that many bytes fit into the room, and what to do if not."""
    if room is None or total <= room:
        return "beside what kernels need for a moment"
    return (
        f"more than the {size(room)} there are: lower data.batch_size, and raise "
        "trainer.accumulate_grad_batches"
    )


def _time(time: Time | None) -> list[Row]:
    if time is None:
        return [("Time", "?", "give --device (cpu measures this machine) or --peak-tflops")]
    peak = f"{time.peak_tflops:.3g} TFLOP/s"
    at = f"at {time.utilisation:.0%} of {peak}, which is assumed"
    if time.is_measured:
        at = f"at {time.utilisation:.0%}, which is assumed, of {peak}, measured here"
    rows = [("Time", "", at), ("  step", _duration(time.seconds_per_step), "")]
    if time.steps is None or time.device_hours is None:
        return [*rows, ("  all steps", "?", "give --trainer.max_steps")]
    total, hours = time.seconds_per_step * time.steps, time.device_hours
    return [
        *rows,
        (f"  {time.steps:,} steps", _duration(total), "validation and sampling not counted"),
        ("  device-hours", f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}", ""),
    ]


def _product(numbers: Sequence[int]) -> str:
    return " x ".join(map(str, numbers))


def size(number: int) -> str:
    """Bytes as ``1.50 GiB``."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 1024**power:
            return f"{number / 1024**power:,.2f} {unit}"
    return f"{number} B"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
