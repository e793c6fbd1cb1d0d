"""A plan as JSON, and as a page of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vidiff.formatting import columns, large, size

if TYPE_CHECKING:
    from vidiff.costs.plan import Costs

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Time:
    """How long training takes."""

    peak_tflops: float  # operations a second that a device could do, over 10^12
    utilisation: float  # share of it that training is assumed to reach
    seconds_per_step: float
    steps: int | None  # None if the config does not limit them
    device_hours: float | None  # of all steps and devices
    is_measured: bool  # whether the peak was measured on this machine; else it is as published


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
    """For people: a line each, by the ``settings`` of ``plan`` and the bytes of a device."""
    rows = [*_parameters(costs), *_step(costs, settings), *_memory(costs, settings, room)]
    return "\n".join(columns([*rows, *_time(time)], right=(1,)))


def _parameters(costs: Costs) -> list[Row]:
    rows, total = [], 0
    for name, part in costs.parts.items():
        counts = vars(part)  # trained, frozen
        total += sum(counts.values())
        states = " and ".join(state for state, number in counts.items() if number)
        rows.append((f"  {name}", large(sum(counts.values())), states))
    average = ("  moving average", large(costs.average), "" if costs.average else "none is kept")
    return [("Parameters", large(total), ""), *rows, average]


def _step(costs: Costs, settings: Mapping[str, Any]) -> list[Row]:
    count, several = settings["num_devices"], settings["num_devices"] > 1
    everywhere = "on all devices" if several else ""
    devices = f"{count:,} {'CPU' if settings['device'] == 'cpu' else 'GPU'}{'s' * several}"
    batches = f", {settings['accumulate']} batches each" if settings["accumulate"] > 1 else ""
    rows = [
        ("Clip", " x ".join(map(str, costs.clip)), "frames x height x width"),
        ("Latents", " x ".join(map(str, costs.latents or ())), "channels first"),
        ("  tokens", f"{costs.tokens_per_clip:,}", ""),
        ("Step", "", f"{devices}, {settings['precision']}{batches}"),
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
    share, peak = f"at {time.utilisation:.0%}", f"{time.peak_tflops:.3g} TFLOP/s"
    at = f"{share} of {peak}, which is assumed"
    if time.is_measured:
        at = f"{share}, which is assumed, of {peak}, measured here"
    rows = [("Time", "", at), ("  step", _duration(time.seconds_per_step), "")]
    if time.steps is None or time.device_hours is None:
        return [*rows, ("  all steps", "?", "give --trainer.max_steps")]
    total, hours = _duration(time.seconds_per_step * time.steps), time.device_hours
    rows.append((f"  {time.steps:,} steps", total, "validation and sampling not counted"))
    return [*rows, ("  device-hours", f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}", "")]


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
