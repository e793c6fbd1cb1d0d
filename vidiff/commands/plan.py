"""``vidiff plan``: what an experiment will cost, before it is run."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vidiff.cli.errors import unknown
from vidiff.commands.base import LightCommand
from vidiff.costs.configs import SIZE, plan_settings, planned_clip, refuse_missing
from vidiff.costs.machines import DEVICES, memory_room, peak_of
from vidiff.costs.page import Time, page, report
from vidiff.errors import UsageError
from vidiff.registry import register

if TYPE_CHECKING:
    from vidiff.training import Task


@register("plan")
class Plan(LightCommand):
    """Say what an experiment will cost before it is run: parameters, compute, memory, time.

    It takes every option of `vidiff fit`, and opens no data. For example:
    vidiff plan -c experiments/quickstart/pixel.yaml --model.denoiser.depth 8 --device h100
    """

    passes_on = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.usage = "vidiff plan -c CONFIG [--KEY VALUE …] [options below]"
        number: dict[str, Any] = {"type": int, "metavar": "N"}
        add = parser.add_argument
        add("--device", choices=DEVICES, metavar="NAME",
            help=f"what is trained on: {', '.join(DEVICES)}, the last being this machine, whose "
            "speed is measured (default: a GPU of unknown speed, or a CPU if trainer.accelerator "
            "says so)")  # fmt: skip
        add("--devices", **number, help="how many, on all nodes together (default: the trainer's)")
        add("--strategy", metavar="NAME",
            help="ddp: each device has all weights; model_parallel or fsdp: they share them "
            "(default: the trainer's)")  # fmt: skip
        add("--peak-tflops", "--peak_tflops", type=float, metavar="X",
            help="peak of a device, in 10^12 operations a second (default: the named "
            "device's)")  # fmt: skip
        add("--utilisation", "--utilization", type=float, default=0.4, metavar="SHARE",
            help="share of the peak that training reaches (default: 0.4)")  # fmt: skip
        for names, words in {
            ("--num-frames", "--num_frames"): "frames of a clip",
            ("--height",): "of a clip, in pixels", ("--width",): "of a clip, in pixels",
        }.items():  # fmt: skip
            add(*names, **number, help=f"{words} (default: the dataset's)")
        add("--caption", metavar="TEXT", help="of every clip (default: a sentence of 14 words)")
        add("--json", action="store_true", help="print JSON")
        self.options = [a.option_strings[0][2:] for a in parser._actions if a.dest != "help"]

    def run(self, args: Namespace) -> int:
        from vidiff.costs.plan import plan

        config, task = _parse(args.rest, self.options)
        trainer = config.trainer
        settings = plan_settings(trainer, args.device, args.devices, args.strategy)
        clip = planned_clip(config.data.dataset, {name: getattr(args, name) for name in SIZE})
        batch_size = config.data.batch_size
        costs = plan(task, clip=clip, batch_size=batch_size, caption=args.caption, **settings)
        peak, is_measured = peak_of(
            args.device, args.peak_tflops, settings["precision"], trainer.matmul_precision
        )
        time = None
        if peak is not None:
            seconds = costs.seconds_per_step(peak, args.utilisation)
            steps = trainer.max_steps if trainer.max_steps >= 0 else None
            hours = None if steps is None else seconds * steps * settings["num_devices"] / 3600
            time = Time(peak, args.utilisation, seconds, steps, hours, is_measured)
        if args.json:
            print(json.dumps(report(costs, settings, time), indent=2))
        else:
            print(page(costs, settings, time, memory_room(args.device)))
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
    refuse_missing(config.model.as_dict())
    return config, fit.instantiate(Node(model=config.model)).model


def _top(option: str) -> str:
    """``--model.denoiser=dit`` to ``--model``."""
    return re.split(r"[.=+]", option)[0]
