"""What was tried for the demo's latent way: trains the rows of README's table, and scores them.

Called as ``python experiments/quickstart/tried.py --output runs/tried --only x0_800,flow_800``.
Prints a line of JSON a row: the share of prompts followed in percent (all of a prompt, colour,
shape, motion) and the PSNR in dB, of 100 prompts a group. A row takes minutes on a GPU.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DENOISER = HERE.parent / "systems" / "mmdit.yaml"
GROUPS = ("seen", "unseen")
NUM_PROMPTS = 100

RESIDUAL = "--model.autoencoder.block residual --model.autoencoder.depth 2 --trainer.max_steps 1300"
AUTOENCODERS = {
    "demo": "",
    "demo_seed_1": "--seed_everything 1",
    "demo_seed_2": "--seed_everything 2",
    "demo_seed_3": "--seed_everything 3",
    "depthwise": "--model.autoencoder.depth 2 --trainer.max_steps 700",
    "residual": RESIDUAL,
    "residual_600": RESIDUAL.replace("1300", "600"),
    "residual_900": RESIDUAL.replace("1300", "900"),
    "residual_48": f"{RESIDUAL} --model.autoencoder.width [48]",
}
"""Options of autoencoder.yaml."""

X0 = "--model.prediction sample --model.loss_weight constant --model.loss_weight.measured_on flow "


def times(mean: float, shift: float) -> str:
    """The mean of the logit-normal times, and the sampler's shift that goes with it."""
    return (
        f"--model.time_sampler logit_normal --model.time_sampler.mean {mean} "
        f"--model.sampler euler --model.sampler.num_steps 20 "
        f"--model.sampler.spacing even --model.sampler.spacing.shift {shift} "
    )


def width(channels: int, heads: int, depth: int = 4) -> str:
    """The denoiser's size."""
    return (
        f"--model.denoiser.width {channels} --model.denoiser.num_heads {heads} "
        f"--model.denoiser.depth {depth} "
    )


def steps(number: int, seed: int = 0) -> str:
    """The length of training, and its seed."""
    return f"--trainer.max_steps {number} --seed_everything {seed} "


MUON = "--model.optimizer muon_adamw --model.optimizer.muon_lr {} --model.optimizer.lr {} "
M05, M08, M12 = times(0.5, 1.6), times(0.8, 2.2), times(1.2, 3.3)
W128 = width(128, 4)
ROWS = {
    "flow_1000": ("residual", steps(1000)),
    "flow_800": ("residual", steps(800)),
    "flow_800_mean_08": ("residual", steps(800) + M08),
    "x0_800_mean_05": ("residual", steps(800) + X0 + M05),
    "x0_800": ("residual", steps(800) + X0 + M08),
    "x0_800_seed_1": ("residual", steps(800, 1) + X0 + M08),
    "x0_800_mean_12": ("residual", steps(800) + X0 + M12),
    "x0_800_mean_12_seed_1": ("residual", steps(800, 1) + X0 + M12),
    "x0_800_residual_600": ("residual_600", steps(800) + X0 + M08),
    "x0_800_residual_900": ("residual_900", steps(800) + X0 + M08),
    "x0_800_residual_48": ("residual_48", steps(800) + X0 + M08),
    "x0_600": ("residual", steps(600) + X0 + M08),
    "x0_400_batch_64": ("residual", steps(400) + X0 + M08 + "--data.batch_size 64"),
    "x0_800_muon_03": ("residual", steps(800) + X0 + M08 + MUON.format(0.03, 3e-3)),
    "x0_800_adamw": (
        "residual",
        steps(800) + X0 + M08 + "--model.optimizer adamw --model.optimizer.lr 2e-3",
    ),
    "adaln_zero_1000": (
        "residual", steps(1000) + X0 + M08 + "--model.denoiser.conditioning adaln_zero",
    ),
    "adaln_zero_800_mean_12": (
        "residual", steps(800) + X0 + M12 + "--model.denoiser.conditioning adaln_zero",
    ),
    "width_256": ("residual", steps(700) + X0 + M08 + width(256, 8, 3)),
    "width_160": ("residual", steps(1000) + X0 + M08 + width(160, 5)),
    "depth_3": ("residual", steps(1000) + X0 + M08 + width(192, 6, 3)),
    "depth_3_flow": ("depthwise", steps(1000, 1) + M08 + width(192, 6, 3)),
    "width_128": ("residual", steps(1400) + X0 + M08 + W128),
    "demo": ("demo", steps(1400) + X0 + M08 + W128),
    "demo_all_seed_1": ("demo_seed_1", steps(1400, 1) + X0 + M08 + W128),
    "demo_all_seed_2": ("demo_seed_2", steps(1400, 2) + X0 + M08 + W128),
    "demo_all_seed_3": ("demo_seed_3", steps(1400, 3) + X0 + M08 + W128),
    "demo_1200": ("demo", steps(1200) + X0 + M08 + W128),
    "two_blocks_seed_1": ("depthwise", steps(1400, 1) + X0 + M08 + W128),
    "two_blocks_seed_2": ("depthwise", steps(1400, 2) + X0 + M08 + W128),
    "two_blocks_seed_3": ("depthwise", steps(1400, 3) + X0 + M08 + W128),
    "flow_seed_1": ("depthwise", steps(1400, 1) + M08 + W128),
    "flow_seed_2": ("depthwise", steps(1400, 2) + M08 + W128),
    "mean_12_seed_1": ("depthwise", steps(1400, 1) + X0 + M12 + W128),
    "muon_012_seed_1": ("depthwise", steps(1400, 1) + X0 + M08 + W128 + MUON.format(0.012, 1.5e-3)),
    "muon_012_seed_2": ("depthwise", steps(1400, 2) + X0 + M08 + W128 + MUON.format(0.012, 1.5e-3)),
    "warmup_200_seed_2": (
        "depthwise", steps(1400, 2) + X0 + M08 + W128 + "--model.warmup_steps 200",
    ),
}  # fmt: skip
"""README's table: the autoencoder, and options of experiments/systems/mmdit.yaml."""


def train(config: Path, folder: Path, options: str) -> Path:
    """Train into a folder, or find what was trained there; returns the checkpoint."""
    from vidiff.cli.main import main

    checkpoint = folder / "checkpoints" / "last.ckpt"
    words = ["fit", "-c", str(config), "--trainer.default_root_dir", str(folder)]
    words += ["--trainer.callbacks", "null", "--ckpt_path", "auto", *options.split()]
    if not checkpoint.exists() and main(words):
        raise SystemExit(f"vidiff {' '.join(words)} failed")
    return checkpoint


def score(checkpoint: Path) -> dict[str, Any]:
    """Percent of prompts followed, by group, and the PSNR in dB."""
    import torch

    import vidiff
    from vidiff_eval.metrics import PromptAccuracy

    task = vidiff.load(str(checkpoint))
    task = task.to("cuda" if torch.cuda.is_available() else "cpu")
    metric = PromptAccuracy(radius=(6.0, 7.0), speed=(1.75, 1.75), background=(0.0, 0.0))
    scores = {}
    for group in GROUPS:
        prompts = (HERE / f"prompts_{group}.txt").read_text().splitlines()[:NUM_PROMPTS]
        videos = [
            task.sample(prompts[k : k + 50], seed=1, indices=range(k, min(k + 50, len(prompts))))
            for k in range(0, len(prompts), 50)
        ]
        rows = metric.judge(metric.features.extract(torch.cat(videos).cpu()), prompts)
        scores[group] = {
            name: sum(float(row[name]) for row in rows) / len(rows) * (1 if "psnr" in name else 100)
            for name in metric.scores
        }
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("runs/tried"))
    parser.add_argument("--only", default=",".join(ROWS), metavar="A,B", help="rows to train")
    args = parser.parse_args()
    asked = args.only.split(",")
    if unknown := [name for name in asked if name not in ROWS]:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    for name in asked:
        autoencoder, options = ROWS[name]
        place = args.output / autoencoder
        trained = train(HERE / "autoencoder.yaml", place, AUTOENCODERS[autoencoder])
        options = f"{options} --model.autoencoder.checkpoint {trained}"
        print(json.dumps({name: score(train(DENOISER, args.output / name, options))}), flush=True)
