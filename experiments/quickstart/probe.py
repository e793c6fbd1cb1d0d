"""How long the demo takes on this machine, from a few timed steps of each training.

Called by demo.sh: ``python experiments/quickstart/probe.py latent`` (or ``pixel``).
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import yaml

from vidiff.cli.main import main
from vidiff.files import read_json
from vidiff.formatting import duration

HERE = Path(__file__).parent
NUM_STEPS = 8
STARTS = {"latent": 6, "pixel": 5}
"""Commands of demo.sh that import PyTorch first."""
SAMPLING_STEPS = 400 * 20 * 2 / 3
"""Forward passes of one clip to sample 400 prompts (20 steps, guided), in training steps of one."""


def time_step(config: Path, folder: Path, *options: str) -> float:
    """Median seconds of a training step of ``config``, measured over ``NUM_STEPS``.

    Raises:
        RuntimeError: if the training fails, with what it printed.
    """
    words = ["fit", "-c", str(config), "--trainer.default_root_dir", str(folder)]
    words += ["--trainer.max_steps", str(NUM_STEPS), "--trainer.log_every_n_steps", "1"]
    words += ["--trainer.callbacks", "null", *options]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = main(words)
    if status:
        raise RuntimeError(f"vidiff {' '.join(words)} failed: {printed.getvalue()}")
    return float(read_json(folder / "run.json")["seconds_per_step"])


def estimate(way: str, folder: Path) -> dict[str, float]:
    """Seconds of each part of ``make demo DEMO=way``, by the words for it."""
    parts, options = {}, []
    if way == "latent":
        config = HERE / "autoencoder.yaml"
        step = time_step(config, folder / "autoencoder")
        parts["autoencoder"] = step * _setting(config, "trainer", "max_steps")
        checkpoint = folder / "autoencoder" / "checkpoints" / "last.ckpt"
        options = ["--model.autoencoder.checkpoint", str(checkpoint)]
    config = HERE / f"{way}.yaml"
    step = time_step(config, folder / "diffusion", *options)
    parts["diffusion transformer"] = step * _setting(config, "trainer", "max_steps")
    parts["samples and scores"] = step * SAMPLING_STEPS / _setting(config, "data", "batch_size")
    return parts


def _setting(config: Path, *keys: str) -> int:
    node = yaml.safe_load(config.read_text(encoding="utf-8"))
    for key in keys:
        node = node[key]
    return int(node)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        parts = estimate(sys.argv[1], Path(made))
    minutes = max(1, round((sum(parts.values()) + 10 * STARTS[sys.argv[1]]) / 60))
    listed = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items())
    print(f"About {minutes} minutes on this machine ({listed}; the rest is starting up).")
