"""``vidiff report``: one page about runs and what they make."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from vidiff.commands.base import LightCommand
from vidiff.files import refuse_overwrite, write_json, write_text
from vidiff.registry import register


@register("report")
class Report(LightCommand):
    """Write a page of videos, scores and loss curves (index.html), and its scores (report.json).

    Any part may be left out. For example: vidiff report --run runs/my --samples new=out/samples
    --output out/report
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--run", type=Path, action="append", default=[], metavar="DIR",
            help="folder of a run; several, in the order they were trained in",
        )  # fmt: skip
        parser.add_argument(
            "--evaluation", type=Path, metavar="FILE.json", help="what `vidiff evaluate` wrote"
        )
        parser.add_argument(
            "--samples", action="append", default=[], metavar="[NAME=]DIR",
            help="folder that `vidiff sample` wrote; named like its group of the evaluation",
        )  # fmt: skip
        parser.add_argument("--output", type=Path, required=True, metavar="DIR")
        parser.add_argument("--title", default="", help="heading of the page")
        parser.add_argument(
            "--num_videos", type=int, default=24, help="videos shown of each group (default: 24)"
        )
        parser.add_argument("--overwrite", action="store_true", help="replace the output")

    def run(self, args: Namespace) -> int:
        from vidiff_eval.pages import read_content, render_page, report_scores

        page, scores = args.output / "index.html", args.output / "report.json"
        for path in (page, scores):
            refuse_overwrite(path, args.overwrite)
        content = read_content(
            runs=args.run, evaluation=args.evaluation, samples=args.samples,
            num_videos=args.num_videos,
        )  # fmt: skip
        write_json(scores, report_scores(content))
        write_text(page, render_page(content, title=args.title or args.output.resolve().name))
        print(f"written: {scores}\nwritten: {page}")
        return 0
