"""What does this GPU reach with vidiff, and what of it is lost on the way?

    python experiments/benchmarks/gpu.py --output runs/gpu            # eight minutes at most
    python experiments/benchmarks/gpu.py --output runs/gpu --only dit,loop
    python experiments/benchmarks/gpu.py --output runs/gpu --small    # all of it, tiny, on a CPU

- ``machine``: the product of two large matrices, which is the measure of the rest.
- ``dit``, ``latte``, ``wan``: training steps (forward, backward, AdamW) of DiT-XL/2, Latte-XL/2 and
  a model like Wan 2.1's 1.3 B beside diffusers', eager and compiled by block.
- ``loop``: steps of training as ``vidiff fit`` does them beside bare ones, of a model of 457 M
  parameters and of the demo's; and the memory that ``vidiff plan`` foretells beside what is used.
- ``resume``: a run that is killed and goes on, beside one that is not: equal bit for bit?
- ``demo``: ``experiments/quickstart/demo.sh``.

Each part has a process and a time limit of its own. Its rows are written as soon as they are there:
``results.jsonl``, and after each part ``report.md`` and ``report.json``. What fails, takes too long
or lacks a package is named, and the rest goes on. Nothing else should run on the GPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "evaluation"), str(Path(__file__).parent)]

import peers  # noqa: E402
import torch  # noqa: E402
from lightning.pytorch import Callback  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from vidiff.checkpoints import read_checkpoint  # noqa: E402
from vidiff.conditions import Words  # noqa: E402
from vidiff.costs.plan import plan  # noqa: E402
from vidiff.data import MovingShapes  # noqa: E402
from vidiff.denoisers import Denoiser, DiT, compile_blocks  # noqa: E402
from vidiff.denoisers.base import listed  # noqa: E402
from vidiff.optimizers import AdamW, MuonAdamW  # noqa: E402
from vidiff.patchifiers import Tubelet  # noqa: E402
from vidiff.precision import choose, compute_dtype  # noqa: E402
from vidiff.training import DiffusionTask  # noqa: E402
from vidiff.training.callbacks import SaveCheckpoint  # noqa: E402
from vidiff.training.data import VideoDataModule  # noqa: E402
from vidiff.training.flops import counting  # noqa: E402
from vidiff.training.trainer import VidiffTrainer  # noqa: E402

TOTAL_SECONDS = 480.0
LIMITS = {"machine": 40, "dit": 90, "wan": 90, "latte": 90, "resume": 75, "loop": 130, "demo": 300}
"""Parts in their order, and the seconds that each may take; the demo has what is left of all."""


class Bench:
    """One part being measured.

    Args:
        output: folder of the results.
        small: sizes for a test on a CPU.
    """

    def __init__(self, output: Path, small: bool) -> None:
        self.output, self.small, self.part = output, small, ""
        self.device = torch.device("cuda" if torch.cuda.is_available() and not small else "cpu")
        self.dtype = compute_dtype(self.device)
        self.compile = {"backend": "eager"} if small else {}

    def row(self, what: str, **values: Any) -> None:
        """Write a row of results down, and print it."""
        row = {"part": self.part, "what": what, **values}
        with (self.output / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        told = ", ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()
        )
        print(f"[{self.part}] {what}: {told}", flush=True)

    def attempt(self, what: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A row of what ``measure`` returns, or of its error."""
        try:
            values = measure()
        except ImportError as error:
            values = {"failed": f"{error.name} is missing: pip install 'vidiff[pretrained]'"}
        except Exception as error:
            traceback.print_exc()
            first = (str(error).strip().splitlines() or [""])[0]
            values = {"failed": f"{type(error).__name__}: {first[:200]}"}
        self.row(what, **values)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return values

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def autocast(self) -> Any:
        """Mixed precision where the device is fast in bf16."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def seconds(self, step: Callable[[], object]) -> tuple[float, float]:
        """Of the first call, and the median of later ones."""
        start = time.perf_counter()
        step()
        self.wait()
        first, times = time.perf_counter() - start, []
        rounds, calls = (1, 1) if self.small else (3, 4)
        for _ in range(calls // 2):
            step()
        for _ in range(rounds):
            self.wait()
            start = time.perf_counter()
            for _ in range(calls):
                step()
            self.wait()
            times.append((time.perf_counter() - start) / calls)
        return first, median(times)


def machine(bench: Bench) -> None:
    """Products of square matrices, the best of several, in 10^12 operations per second."""
    size = 256 if bench.small else 8192
    types = {"bf16": torch.bfloat16, "fp32": torch.float32}
    if bench.dtype == torch.float32:
        types = {"fp32": torch.float32}
    for name, dtype in types.items():

        def product(dtype: torch.dtype = dtype) -> dict[str, Any]:
            with bench.device:
                a, b = torch.randn(2, size, size).to(dtype).unbind(0)
            best = min(bench.seconds(lambda: a @ b)[1] for _ in range(5))
            return {"seconds": best, "tflops": 2 * size**3 / best / 1e12}

        bench.attempt(f"{name} product of {size} x {size} matrices", product)


def dit(bench: Bench) -> None:
    """DiT-XL/2 at 256 x 256 pixels, that is 256 tokens, batch 64."""
    sizes = {"width": 32, "depth": 2, "heads": 2, "size": 8, "batch": 2} if bench.small else {
        "width": 1152, "depth": 28, "heads": 16, "size": 32, "batch": 64}  # fmt: skip
    compare(bench, "DiT-XL/2", peers.dit(patch_size=2, **sizes))


def latte(bench: Bench) -> None:
    """Latte-XL/2, 16 frames at 256 x 256 pixels, that is 4,096 tokens, batch 4."""
    sizes = {"width": 32, "depth": 2, "heads": 2, "frames": 2, "size": 8} if bench.small else {
        "width": 1152, "depth": 28, "heads": 16, "frames": 16, "size": 32}  # fmt: skip
    compare(bench, "Latte-XL/2", peers.latte(batch=1 if bench.small else 4, **sizes))


def wan(bench: Bench) -> None:
    """A model like Wan 2.1's 1.3 B, 17 frames at 480 x 832 pixels, that is 7,800 tokens."""
    small = {
        "width": 32,
        "depth": 2,
        "heads": 2,
        "mlp": 64,
        "text_dim": 16,
        "words": 4,
        "grid": (2, 4, 4),
    }
    compare(bench, "Wan-like", peers.wan(**(small if bench.small else {})))


def compare(bench: Bench, name: str, builders: dict[str, peers.Peer]) -> None:
    """Rows of each peer, eager and compiled by block."""
    for compiled in (False, True):
        for peer, build in builders.items():
            mode = "compiled by block" if compiled else "eager"
            bench.attempt(f"{name}, {peer}, {mode}", partial(training_step, bench, build, compiled))


def training_step(bench: Bench, build: peers.Peer, compiled: bool) -> dict[str, Any]:
    """Figures of one network's training step."""
    torch.manual_seed(0)
    torch.compiler.reset()
    with bench.device:
        model, ask = build()
    model.to(bench.device).train()
    with counting() as counter, torch.no_grad(), bench.autocast():
        ask()
    flops = 3 * counter.get_total_flops()
    if compiled and isinstance(model, Denoiser):
        compile_blocks(model, **bench.compile)
    elif compiled:
        for block in listed(model):
            block.compile(**bench.compile)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with bench.autocast():
            loss = ask().float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return figures(bench, step, flops) | {"parameters": count(model)}


def figures(bench: Bench, step: Callable[[], None], flops: float) -> dict[str, Any]:
    """Time, speed and memory of a step of so many operations."""
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    first, seconds = bench.seconds(step)
    found = {"seconds": seconds, "tflops": flops / seconds / 1e12, "first_step_seconds": first}
    return found | memory(bench)


def memory(bench: Bench) -> dict[str, Any]:
    """The most bytes of the GPU that tensors had."""
    if bench.device.type != "cuda":
        return {}
    return {"bytes": torch.cuda.max_memory_allocated()}


def count(model: nn.Module) -> int:
    """Parameters."""
    return sum(p.numel() for p in model.parameters())


# -- The loop -------------------------------------------------------------------------------------


def loop(bench: Bench) -> None:
    """Steps in ``vidiff fit`` beside bare ones; planned memory beside used."""
    tiny = {"width": 32, "depth": 2, "num_heads": 2}
    large = {"width": 1024, "depth": 24, "num_heads": 16}
    demo = {"width": 128, "depth": 4, "num_heads": 4}
    cases = (
        ("DiT-L, 2,304 tokens", large, (1, 2, 2), 16, 25),
        ("the demo's size, 48 tokens", demo, (3, 8, 8), 64, 120),
    )
    for name, sizes, patch, batch, num_steps in cases:
        if bench.small:
            sizes, patch, batch, num_steps = tiny, (3, 8, 8), 2, 4
        for optimizer in (MuonAdamW, AdamW):
            kind = f"{name}, {optimizer.__name__}"
            make = partial(make_task, sizes, patch, optimizer)
            data = partial(make_data, batch)
            bench.attempt(f"{kind}, bare step", partial(bare_step, bench, make(), data()))
            run = partial(fit, bench, make(), data(), num_steps)
            found = bench.attempt(f"{kind}, vidiff fit", run)
            if optimizer is MuonAdamW and "failed" not in found:
                bench.attempt(f"{kind}, memory", partial(planned, make(), data(), bench, found))
                bench.attempt(f"{kind}, profile", partial(profiled, bench, make(), data(), kind))


def make_task(
    sizes: dict[str, int], patch: tuple[int, int, int], optimizer: Callable[[], Any]
) -> DiffusionTask:
    """A task on pixels of moving shapes."""
    patchifier = partial(Tubelet, patch_size=patch)
    return DiffusionTask(
        denoiser=partial(DiT, patchifier=patchifier, **sizes),
        conditions={"text": partial(Words, text_dim=128, num_rows=2048)}, optimizer=optimizer,
        decay_fraction=0.0,
    )  # fmt: skip


def make_data(batch_size: int) -> VideoDataModule:
    """The demo's moving shapes."""
    dataset = partial(
        MovingShapes, num_frames=9, height=32, width=32, radius=(6.0, 7.0), speed=(1.75, 1.75),
        background=(0.0, 0.0), num_val_videos=8,
    )  # fmt: skip
    return VideoDataModule(dataset=dataset, batch_size=batch_size)


def first_batch(data: VideoDataModule) -> Any:
    """A batch, without workers."""
    from vidiff.data import collate

    dataset = data.dataset("train")
    return collate(dataset.__getitems__(list(range(data.batch_size))))


def bare_step(bench: Bench, task: DiffusionTask, data: VideoDataModule) -> dict[str, Any]:
    """A step of the same parts, optimizer and batch size, and nothing else."""
    task.configure_model()
    task.to(bench.device).train()
    batch = first_batch(data)
    pixels = batch.pixels.to(bench.device)
    batch.pixels = pixels
    with bench.autocast():
        flops = task.count_flops(batch)
    optimizer = task.make_optimizer().build(list(task.trained_parts().values()))

    def step() -> None:
        with bench.autocast():
            model = task.model
            signals = model.signals_of(batch, pixels)
            loss = task.objective.loss(model.network(signals), pixels).weighted.mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return figures(bench, step, flops) | {"parameters": count(task.denoiser), "flops": flops}


class Clock(Callback):
    """Times the later half of the steps."""

    def __init__(self, bench: Bench, num_steps: int) -> None:
        self.bench, self.marks = bench, (num_steps // 2, num_steps)
        self.times: list[float] = []

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step in self.marks:
            self.bench.wait()
            self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Of a step."""
        return (self.times[1] - self.times[0]) / (self.marks[1] - self.marks[0])


def fit(bench: Bench, task: DiffusionTask, data: VideoDataModule, num_steps: int) -> dict[str, Any]:
    """Steps as ``vidiff fit`` does them."""
    clock = Clock(bench, num_steps)
    trainer = make_trainer(bench, bench.output / "fit", num_steps, [clock])
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer.fit(task, data)
    used = memory(bench)
    batch = first_batch(data)
    batch.pixels = batch.pixels.to(bench.device)
    task.to(bench.device)
    with bench.autocast():
        flops = task.count_flops(batch)
    return {"seconds": clock.seconds, "tflops": flops / clock.seconds / 1e12, **used}


def make_trainer(
    bench: Bench, folder: Path, num_steps: int, callbacks: list[Callback], **settings: Any
) -> VidiffTrainer:
    """A trainer as configs have it, without a bar."""
    settings = {"enable_checkpointing": False} | settings
    return VidiffTrainer(
        accelerator="gpu" if bench.device.type == "cuda" else "cpu", devices=1,
        precision=choose(bench.device).precision, max_steps=num_steps, gradient_clip_val=1.0,
        default_root_dir=folder, logger=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=0, num_sanity_val_steps=0,
        callbacks=callbacks, **settings,
    )  # fmt: skip


def planned(
    task: DiffusionTask, data: VideoDataModule, bench: Bench, found: dict[str, Any]
) -> dict[str, Any]:
    """What ``vidiff plan`` foretells, beside what training used."""
    costs = plan(
        task, clip=(9, 32, 32), batch_size=data.batch_size, device=bench.device.type,
        precision=choose(bench.device).precision,
    )  # fmt: skip
    values: dict[str, Any] = {"planned_bytes": costs.memory.total}
    if "bytes" in found:
        share = costs.memory.total / found["bytes"]
        values |= {"bytes": found["bytes"], "note": f"planned {share:.3f} of what was used"}
    ours, own = costs.flops / 1e12, costs.optimizer_flops / 1e12
    return values | {"optimizer_note": f"{own:.2f} TFLOP of Muon on {ours:.2f} of the model"}


class Profile(Callback):
    """Profiles a few steps."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        activities = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self.profiler = torch.profiler.profile(activities=activities)

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        if trainer.global_step == self.first:
            self.profiler.start()
        elif trainer.global_step == self.last:
            self.profiler.stop()


def profiled(bench: Bench, task: DiffusionTask, data: VideoDataModule, name: str) -> dict[str, Any]:
    """Where the time of three steps of the loop goes, as two tables in a file."""
    profile = Profile(2, 5)
    make_trainer(bench, bench.output / "fit", 5, [profile]).fit(task, data)
    averages = profile.profiler.key_averages()
    orders = ["self_cpu_time_total"]
    if bench.device.type == "cuda":
        orders.append("self_cuda_time_total")
    tables = [averages.table(sort_by=order, row_limit=40) for order in orders]
    path = bench.output / f"profile {name}.txt".replace(",", "").replace("'", "").replace(" ", "_")
    path.write_text("\n\n".join(tables) + "\n", encoding="utf-8")
    return {"note": path.name}


# -- Kill and resume ------------------------------------------------------------------------------


def resume(bench: Bench) -> None:
    """One run, and one that is killed after its first checkpoint and resumed."""
    bench.attempt(
        "killed after its first checkpoint, then resumed", partial(killed_and_resumed, bench)
    )


def killed_and_resumed(bench: Bench) -> dict[str, Any]:
    """Whether weights, their average and the optimizer's state are equal."""
    whole, cut = bench.output / "whole", bench.output / "cut"
    tiny_run(bench, whole)
    command = [sys.executable, __file__, "--output", str(bench.output), "--tiny-run", str(cut)]
    ended = subprocess.run(command + ["--small"] * bench.small, check=False).returncode
    if ended != -signal.SIGKILL:
        raise RuntimeError(f"the run that kills itself ended with {ended}")
    tiny_run(bench, cut, "last")
    states = [read_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (whole, cut)]
    tensors = [dict(leaves({k: s[k] for k in ("state_dict", "optimizer_states")})) for s in states]
    if tensors[0].keys() != tensors[1].keys():
        raise RuntimeError("the two checkpoints hold different tensors")
    other = [name for name, value in tensors[0].items() if not torch.equal(value, tensors[1][name])]
    said = f"{len(tensors[0])} tensors, {len(other)} differ" + (f": {other[:3]}" if other else "")
    return {"equal": not other, "note": said}


def tiny_run(bench: Bench, folder: Path, ckpt_path: str | None = None, die_after: int = 0) -> None:
    """24 steps with checkpoints every 8; dies after so many, if any."""

    class Die(Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            if trainer.global_step == die_after:
                os.kill(os.getpid(), signal.SIGKILL)

    sizes = {"width": 32, "depth": 2, "num_heads": 2}
    if not bench.small:
        sizes = {"width": 256, "depth": 4, "num_heads": 4}
    torch.manual_seed(0)
    callbacks = [SaveCheckpoint(8), Die()]
    trainer = make_trainer(bench, folder, 24, callbacks, enable_checkpointing=True)
    path = str(folder / "checkpoints" / "last.ckpt") if ckpt_path else None
    trainer.fit(make_task(sizes, (3, 8, 8), MuonAdamW), make_data(4), ckpt_path=path)


def leaves(node: Any, name: str = "") -> list[tuple[str, Tensor]]:
    """Tensors of nested containers, by the way to them."""
    if isinstance(node, Tensor):
        return [(name, node)]
    items: Any = node.items() if isinstance(node, dict) else ()
    items = enumerate(node) if isinstance(node, (list, tuple)) else items
    return [leaf for key, value in items for leaf in leaves(value, f"{name}/{key}")]


# -- The demo -------------------------------------------------------------------------------------


def demo(bench: Bench) -> None:
    """The demo, as ``make demo`` runs it; of its commands a few steps, where sizes are small."""
    bench.attempt("demo", partial(small_demo if bench.small else whole_demo, bench))


def whole_demo(bench: Bench) -> dict[str, Any]:
    """Time, and the share of prompts that videos follow."""
    default = re.search(r"^DEMO\s*\?=\s*(\w+)", (ROOT / "Makefile").read_text(), re.M)
    way, out = default.group(1) if default else "latent", bench.output / "demo"
    start = time.perf_counter()
    script = str(ROOT / "experiments" / "quickstart" / "demo.sh")
    subprocess.run(["bash", script, way, str(out)], cwd=ROOT, env=shell(bench), check=True)
    values: dict[str, Any] = {"total_seconds": time.perf_counter() - start}
    said = [f"{way}: {prompts_followed(out / 'evaluation')}"]
    for record in sorted(out.glob("*/run.json")):
        run = json.loads(record.read_text(encoding="utf-8"))
        said.append(
            f"{record.parent.name}: {run['step']} steps in {run['training_seconds']:.0f} s, "
            f"{1000 * (run['seconds_per_step'] or 0):.1f} ms each"
        )
    return values | {"note": "; ".join(said)}


def small_demo(bench: Bench) -> dict[str, Any]:
    """The demo's commands: train, sample, evaluate."""
    out = bench.output / "demo"
    config = ["-c", str(ROOT / "experiments/quickstart/pixel.yaml")]
    config += ["--trainer.default_root_dir", str(out / "diffusion"), "--data.batch_size", "2"]
    config += ["--trainer.max_steps", "2", "--data.dataset.num_val_videos", "2"]
    config += ["--model.denoiser.depth", "1", "--trainer.callbacks", "[]"]
    start = time.perf_counter()
    commands = (
        ["fit", *config],
        ["sample", *config, "--ckpt_path", str(out / "diffusion/checkpoints/last.ckpt"),
         "--prompts", "a red square moves left; a cyan cross stays still",
         "--output", str(out / "seen"), "--num_steps", "1"],
        ["evaluate", "--generated", f"seen={out / 'seen'}", "--metrics", "prompt_accuracy",
         "--protocol", "whole", "-c", str(out / "diffusion/config.yaml"),
         "--output", str(out / "evaluation")],
    )  # fmt: skip
    for words in commands:
        subprocess.run(
            [sys.executable, "-m", "vidiff", *words], cwd=ROOT, env=shell(bench), check=True
        )
    seconds = time.perf_counter() - start
    return {"total_seconds": seconds, "note": prompts_followed(out / "evaluation")}


def prompts_followed(folder: Path) -> str:
    """Shares of prompts that videos follow, by group."""
    from vidiff.evaluation_report import read_report

    groups = read_report(folder / "report.json").groups
    shares = {name: group.by_name["prompt_accuracy"].value for name, group in groups.items()}
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares.items())


def shell(bench: Bench) -> dict[str, str]:
    """An environment in which ``vidiff`` is this checkout's, installed or not."""
    place = (bench.output / "shell").resolve()
    info = place / "vidiff_here-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vidiff-here\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[vidiff.plugins]\nvidiff_eval = vidiff_eval\n")
    for name, words in {"vidiff": " -m vidiff", "python": ""}.items():
        script = place / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
        script.chmod(0o755)
    paths = [str(ROOT), str(ROOT / "evaluation")]
    if not any(e.name == "vidiff_eval" for e in plugins()):
        paths.append(str(place))
    before = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([*paths, *before]),
        "PATH": os.pathsep.join([str(place), os.environ.get("PATH", "")]),
    }


def plugins() -> Any:
    """Entry points of installed plugins."""
    from importlib.metadata import entry_points

    return entry_points(group="vidiff.plugins")


# -- All of it ------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Bench], None]] = {
    "machine": machine, "dit": dit, "wan": wan, "latte": latte, "resume": resume, "loop": loop,
    "demo": demo,
}  # fmt: skip


def run_part(bench: Bench, part: str) -> None:
    """Measure one part in this process."""
    bench.part = part
    start = time.perf_counter()
    PARTS[part](bench)
    bench.row("seconds of this part", total_seconds=time.perf_counter() - start)


def run_apart(bench: Bench, part: str, seconds: float) -> None:
    """Measure one part in a process of its own, and kill it after so many seconds."""
    command = [sys.executable, __file__, "--output", str(bench.output), "--part", part]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        bench.row(part, failed=f"stopped after {seconds:.0f} s: rows above are what there was")
        return
    if code:
        bench.row(part, failed=f"its process ended with {code}")


def report(bench: Bench) -> str:
    """Write all rows as JSON and as a table, and return the table."""
    lines = (bench.output / "results.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    name = torch.cuda.get_device_name() if bench.device.type == "cuda" else "CPU"
    about = {"device": name, "torch": str(torch.__version__), "small": bench.small, "rows": rows}
    (bench.output / "report.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    products = [r["tflops"] for r in rows if r["part"] == "machine" and "tflops" in r]
    table = "\n".join([
        f"{name}, torch {torch.__version__}{', tiny sizes' if bench.small else ''}", "",
        "| | step | TFLOP/s | of the product | first step | memory | |",
        "|---|---|---|---|---|---|---|",
        *(line_of(row, products[0] if products else None) for row in rows),
    ])  # fmt: skip
    (bench.output / "report.md").write_text(table + "\n", encoding="utf-8")
    return table


def line_of(row: dict[str, Any], product: float | None) -> str:
    """A row of the table; the share is that of the first product, bf16 where it is fast."""

    def cell(key: str, show: Callable[[Any], str]) -> str:
        return show(row[key]) if key in row else ""

    share = f"{row['tflops'] / product:.0%}" if "tflops" in row and product else ""
    notes = [row.get("failed"), row.get("note"), row.get("optimizer_note")]
    notes.append(
        f"planned {row['planned_bytes'] / 2**30:.2f} GiB" if "planned_bytes" in row else None
    )
    notes.append({True: "equal", False: "NOT EQUAL"}.get(row.get("equal")))  # type: ignore[arg-type]
    notes.append(cell("total_seconds", lambda s: f"{s:.0f} s in all"))
    cells = [
        f"{row['part']}: {row['what']}",
        cell("seconds", lambda s: f"{1000 * s:.2f} ms"), cell("tflops", lambda x: f"{x:.4g}"),
        share,
        cell("first_step_seconds", lambda s: f"{s:.1f} s"),
        cell("bytes", lambda b: f"{b / 2**30:.2f} GiB"), "; ".join(note for note in notes if note),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the parts one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument("--only", default=",".join(PARTS), metavar="A,B", help="parts to run")
    parser.add_argument("--small", action="store_true", help="tiny sizes, on the CPU")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--tiny-run", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    bench = Bench(args.output.resolve(), args.small)
    if args.tiny_run:
        tiny_run(bench, args.tiny_run, die_after=13)
    if args.part:
        run_part(bench, args.part)
    if args.tiny_run or args.part:
        return
    asked = [part.strip() for part in args.only.split(",")]
    if unknown := [part for part in asked if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if bench.device.type == "cpu" and not args.small:
        parser.error("there is no GPU here: add --small to try the benchmark on the CPU")
    if args.output.exists() and any(args.output.iterdir()):
        parser.error(f"{args.output} is not empty: name a new folder")
    args.output.mkdir(parents=True, exist_ok=True)
    shutil.copy(__file__, args.output / "benchmark.py")
    begun = time.monotonic()
    for part in [part for part in PARTS if part in asked]:
        left = TOTAL_SECONDS - (time.monotonic() - begun)
        bench.part = part
        if args.small:
            run_part(bench, part)
        elif left < 20:
            bench.row(part, failed="no time was left")
        else:
            run_apart(bench, part, min(LIMITS[part], left))
        report(bench)
    print(f"\n{report(bench)}\n\n{args.output / 'report.md'}, report.json")


if __name__ == "__main__":
    main()
