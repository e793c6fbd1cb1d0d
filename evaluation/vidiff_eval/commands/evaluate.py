"""``vidiff evaluate``: scores of folders of videos, with their intervals."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vidiff.commands.base import LightCommand
from vidiff.registry import list_components, register
from vidiff_eval.protocols.presets import PRESETS


@register("evaluate")
class Evaluate(LightCommand):
    """Measure folders of videos with any metrics, and write a report with intervals.

    The videos may come from any model: a folder of files is enough. For example, with real videos
    to compare with: `vidiff evaluate --real real_videos --generated mine=samples --output report`,
    or by prompts alone: `vidiff evaluate --generated seen=out/seen unseen=out/unseen --metrics
    prompt_accuracy --protocol whole --output report`. Options of a metric are given as
    --METRIC.OPTION VALUE (`vidiff components show metric.METRIC` lists them), and
    --protocol.OPTION VALUE changes a protocol. Started by torchrun, processes share the work.
    """

    passes_on = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--generated", nargs="+", action="extend", required=True, metavar="[NAME=]DIR",
            help="folders of generated videos; several are reported side by side",
        )  # fmt: skip
        parser.add_argument("--real", type=Path, metavar="DIR", help="folder of real videos")
        parser.add_argument(
            "--prompts", type=Path, metavar="FILE",
            help="prompts of the generated videos: one a line in the order of their names, or "
            "path,caption (.csv, .jsonl); default: samples.jsonl or captions in their folder",
        )  # fmt: skip
        parser.add_argument(
            "--metrics", metavar="A,B",
            help="names, or `all` (the default): all that can be measured here. Known: "
            f"{', '.join(list_components('metric'))}",
        )  # fmt: skip
        parser.add_argument(
            "--protocol", default="vidiff", metavar="NAME",
            help=f"which clips are compared, and how: {', '.join(PRESETS)} (default: vidiff)",
        )  # fmt: skip
        parser.add_argument(
            "-c", "--config", type=Path, metavar="FILE.yaml",
            help="a run's config: options of a metric that its dataset has too come from there",
        )  # fmt: skip
        parser.add_argument("--output", type=Path, required=True, metavar="DIR")
        parser.add_argument("--overwrite", action="store_true", help="replace the output's report")
        parser.add_argument(
            "--dry-run", "--dry_run", action="store_true",
            help="check the options and what the metrics need, and measure nothing",
        )  # fmt: skip
        parser.add_argument("--title", default="", help="heading of the page")
        parser.add_argument(
            "--sanity", type=int, default=32, metavar="N",
            help="real clips of each half for the rows that show what a metric sees; 0: none "
            "(default: 32)",
        )  # fmt: skip
        parser.add_argument(
            "--store", type=Path, metavar="DIR",
            help="where features are kept (default: $VIDIFF_CACHE or ~/.cache/vidiff, /features)",
        )  # fmt: skip
        parser.add_argument(
            "--device", default="auto", help="cpu, cuda, cuda:1, …; default: a GPU if there is one"
        )
        parser.add_argument(
            "--batch_size", type=int, default=8, metavar="N", help="clips at a time (default: 8)"
        )

    def run(self, args: Namespace) -> int:
        from vidiff_eval.commands.asked import ask
        from vidiff_eval.pipeline import evaluate

        asked = ask(args)
        if args.dry_run:
            asked.check()
        else:
            evaluate(asked)
        return 0

    def foretell(self, args: Namespace) -> tuple[tuple[str, ...], dict[str, str]]:
        """The scores that options ask for, and by name why others will not be measured.

        Raises:
            Errors: if something in the options is wrong.
        """
        from vidiff_eval.commands.asked import foretell

        return foretell(args)
