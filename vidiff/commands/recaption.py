"""``vidiff recaption``: captions of a folder of videos, rewritten for training."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff.captions import file_key, folder_table, read_caption
from vidiff.commands.base import LightCommand
from vidiff.errors import UsageError
from vidiff.files import write_text
from vidiff.folders import scan
from vidiff.registry import list_components, register

if TYPE_CHECKING:
    from vidiff.rewriters import MakeRewriter, Rewritten

CHUNK = 64
"""Captions rewritten between two writes to disk; as many may be lost."""


@register("recaption")
class Recaption(LightCommand):
    """Rewrite the captions of a folder of videos into a table to train from.

    For example: vidiff recaption videos --rewriter chat --rewriter.model qwen3 --rewriter.base_url
    http://localhost:8000/v1 --output videos/recaptioned.jsonl, then --data.dataset.captions
    recaptioned.jsonl. Original captions stay in a column of their own. A call that was cut off goes
    on where it stopped.
    """

    passes_on = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.usage = (
            "vidiff recaption FOLDER --rewriter NAME [--rewriter.KEY VALUE …] --output FILE"
        )
        parser.add_argument("folder", type=Path, metavar="FOLDER", help="videos with captions")
        parser.add_argument(
            "--output", type=Path, required=True, metavar="FILE.jsonl",
            help="the table: path, caption, original, and problem where a caption was kept",
        )  # fmt: skip

    def run(self, args: Namespace) -> int:
        from vidiff.config_nodes import describe

        if args.output.suffix != ".jsonl":
            raise ValueError(f"--output must end in .jsonl, got {args.output}")
        make = parse_rewriter(args.rest)
        captions = list(read_captions(args.folder))
        table = Table(args.output, {"rewriter": describe(make), "folder": str(args.folder)})
        rest = captions[table.num_rows :]
        results = zip(rest, make().rewrite([caption for _, caption in rest]), strict=True)
        while some := list(islice(results, CHUNK)):
            table.add((path, one) for (path, _), one in some)
            print(f"\r{table.num_rows:,} of {len(captions):,} captions", end="", file=sys.stderr)
        print(file=sys.stderr)
        print(f"written: {table.finish()}")
        print(f"next: --data.dataset.captions {args.output.resolve()}")
        return 0


class Table:
    """A table of captions that grows on disk until it is whole, and then takes its name.

    Args:
        path: of the whole table, which must not be there.
        settings: what its captions are made from and with; a table that was begun with others is
            refused.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.begun = path, path.with_name(f".{path.name}.begun")
        if path.exists():
            raise ValueError(f"{path} exists; name another --output or remove it")
        first, lines = json.dumps({"settings": settings}), []
        if self.begun.exists():
            lines = self.begun.read_text(encoding="utf-8").split("\n")[:-1]  # one may be cut off
        if lines[1:] and lines[0] != first:
            raise ValueError(
                f"{self.begun} was begun with another rewriter or folder; remove it, or name "
                "another --output"
            )
        self.num_rows = len(lines[1:])
        self.num_kept = sum("problem" in json.loads(line) for line in lines[1:])
        write_text(self.begun, "\n".join([first, *lines[1:], ""]))

    def add(self, rows: Iterable[tuple[str, Rewritten]]) -> None:
        """Append captions by their videos' paths; on disk when it returns."""
        lines = []
        for path, one in rows:
            row = {"path": path, "caption": one.prompt, "original": one.original}
            if one.problem:
                row["problem"] = one.problem
            lines.append(json.dumps(row) + "\n")
            self.num_kept += bool(one.problem)
        with self.begun.open("a", encoding="utf-8") as file:
            file.writelines(lines)
        self.num_rows += len(lines)

    def finish(self) -> str:
        """Give the whole table its name; returns that with the number of captions."""
        _, rows = self.begun.read_text(encoding="utf-8").split("\n", 1)
        write_text(self.path, rows)
        self.begun.unlink()
        kept = f", of which {self.num_kept:,} were kept as they are, see problem"
        return f"{self.path} ({self.num_rows:,} captions{kept if self.num_kept else ''})"


def read_captions(folder: Path) -> Iterator[tuple[str, str]]:
    """Path and caption of each video that has one, as ``video_folder`` reads them.

    Raises:
        ValueError: if there is no such folder, or no video in it has a caption.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one that holds videos with captions")
    contents, table = scan(folder, links_out=False), folder_table(folder)
    found = False
    for path in contents.videos:
        caption = table.get(file_key(path), "")
        if not caption and path in contents.texts:
            caption = read_caption(folder / contents.texts[path])
        if caption:
            found = True
            yield path, caption
    if not found:
        raise ValueError(
            f"none of the {len(contents.videos)} videos in {folder} has a caption: write "
            "captions.csv (path,caption), or name.txt next to name.mp4"
        )


def parse_rewriter(words: Sequence[str]) -> MakeRewriter:
    """The rewriter that ``--rewriter NAME --rewriter.KEY VALUE`` describe, not built yet.

    Raises:
        UsageError: if there is none, or one of its options is missing, unknown or of a wrong type.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    from vidiff.cli.errors import explain
    from vidiff.cli.names import install
    from vidiff.rewriters import MakeRewriter

    if not any(word.partition("=")[0] == "--rewriter" for word in words):
        known = ", ".join(list_components("rewriter"))
        raise UsageError(f"recaption: name a rewriter: --rewriter NAME, one of {known}")
    install()
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--rewriter", type=MakeRewriter, required=True)
    try:
        made: MakeRewriter = parser.instantiate(parser.parse_args(list(words))).rewriter
    except ArgumentError as error:
        raise UsageError(f"recaption: {explain(str(error))}") from error
    return made
