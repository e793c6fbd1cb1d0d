"""The one small config of these tests, from which they make theirs."""

from __future__ import annotations

from typing import Any

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.nodes import Config

SMALL: Config = {
    "trainer": {"accelerator": "cpu", "devices": 1, "max_steps": 2},
    "model": {
        "class_path": "DiffusionTask",
        "init_args": {
            "denoiser": {
                "class_path": "dit",
                "init_args": {
                    "width": 24, "depth": 1, "num_heads": 2,
                    "patchifier": {"class_path": "tubelet", "init_args": {"patch_size": [1, 8, 8]}},
                },
            },
            "conditions": {
                "text": {
                    "class_path": "words",
                    "init_args": {"text_dim": 16, "depth": 1, "num_heads": 2, "num_rows": 64},
                },
            },
        },
    },
    "data": {
        "batch_size": 2,
        "dataset": {
            "class_path": "moving_shapes",
            "init_args": {"num_frames": 4, "height": 16, "width": 16, "radius": [2.0, 3.0]},
        },
    },
}  # fmt: skip


def small_config(changes: dict[str, Any]) -> Config:
    """The small config with changed nodes, by dotted keys."""
    return nodes.replace(SMALL, changes)
