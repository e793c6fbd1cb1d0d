"""Devices that a config asks for."""

from __future__ import annotations

from pathlib import Path

from vidiff.ablation.ask.nodes import Config, get


def devices_of(config: Config) -> tuple[int, int, bool]:
    """Devices of a node, nodes, and whether the devices are GPUs, as the trainer has them.

    Where the config leaves the number to the machine, it is one.
    """
    devices = get(config, "trainer.devices", "auto")
    if isinstance(devices, str) and devices.isdigit():
        devices = int(devices)
    count = len(devices) if isinstance(devices, list) else devices
    accelerator = get(config, "trainer.accelerator", "auto")
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and _has_gpu())
    number = count if isinstance(count, int) and count > 0 else 1
    return number, int(get(config, "trainer.num_nodes", 1) or 1), on_gpu


def _has_gpu() -> bool:
    """Whether there may be an NVIDIA GPU here, without importing torch."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
