"""The smallest run that exercises everything: used by tests of the command line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

TINY: dict[str, Any] = {
    "trainer": {"accelerator": "cpu", "devices": 1, "max_steps": 2, "log_every_n_steps": 1},
    "model": {
        "class_path": "DiffusionTask",
        "init_args": {
            "denoiser": {
                "class_path": "dit",
                "init_args": {
                    "width": 16,
                    "depth": 1,
                    "num_heads": 2,
                    "patchifier": {"class_path": "tubelet", "init_args": {"patch_size": [1, 8, 8]}},
                },
            },
            "conditions": {
                "text": {
                    "class_path": "words",
                    "init_args": {"text_dim": 16, "num_heads": 2, "num_rows": 64},
                },
            },
            "sampler": {"class_path": "euler", "init_args": {"num_steps": 2}},
        },
    },
    "data": {
        "batch_size": 2,
        "dataset": {
            "class_path": "moving_shapes",
            "init_args": {
                "num_frames": 2,
                "height": 16,
                "width": 16,
                "radius": [2.0, 3.0],
                "num_videos": 8,
                "num_val_videos": 2,
            },
        },
    },
}


def write_config(path: Path, changes: dict[str, Any] | None = None) -> Path:
    """Write the tiny config with dotted keys changed; its run folder is beside it."""
    config = copy.deepcopy(TINY)
    config["trainer"]["default_root_dir"] = str(path.parent / "run")
    for key, value in (changes or {}).items():
        node, (*parents, last) = config, key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
