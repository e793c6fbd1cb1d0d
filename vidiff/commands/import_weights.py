"""``vidiff import-weights``: published weights to a vidiff checkpoint."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from vidiff.commands.base import LightCommand
from vidiff.registry import nearest, register


@register("import-weights")
class ImportWeights(LightCommand):
    """Turn published weights (DiT, SiT, Latte) into a checkpoint with its config.

    For example: vidiff import-weights --from dit DiT-XL-2-256x256.pt --output dit_xl_2.ckpt
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        from vidiff.importers import IMPORTERS

        parser.add_argument(
            "--from", dest="importer", required=True, metavar="MODEL",
            help=f"whose weights they are: {', '.join(IMPORTERS)}",
        )  # fmt: skip
        parser.add_argument("file", type=Path, metavar="FILE", help=".pt or .safetensors")
        parser.add_argument("--output", type=Path, required=True, metavar="CKPT")
        parser.add_argument(
            "--num-heads", "--num_heads", type=int, metavar="N",
            help="attention heads, which no tensor tells (default: the published models' of the "
            "same width)",
        )  # fmt: skip
        parser.add_argument(
            "--autoencoder", metavar="FOLDER",
            help="the autoencoder that it was trained with, as diffusers saves it: the checkpoint "
            "names it, so that `vidiff sample` gives pixels (default: latents only)",
        )  # fmt: skip

    def run(self, args: Namespace) -> int:
        from vidiff.importers import IMPORTERS, read_weights, with_autoencoder, write_checkpoint

        if args.importer not in IMPORTERS:
            raise ValueError(
                f"unknown model {args.importer!r}{nearest(args.importer, IMPORTERS)}; "
                f"known: {', '.join(IMPORTERS)}"
            )
        config = args.output.with_suffix(".yaml")
        for path in (args.output, config):
            if path.exists():
                raise ValueError(f"{path} exists already; choose another --output or remove it")
        imported = IMPORTERS[args.importer]().read(read_weights(args.file), args.num_heads)
        if args.autoencoder:
            imported = with_autoencoder(imported, args.autoencoder)
        write_checkpoint(imported, args.output)
        config.write_text(_config(args, imported.arguments), encoding="utf-8")
        count = sum(w.numel() for w in imported.weights.values())
        what = "videos" if args.autoencoder else "latents"
        print(f"{count:,} parameters, {what} of {' x '.join(map(str, imported.clip_size))}")
        print(f"written: {args.output}\nwritten: {config}")
        return 0


def _config(args: Namespace, arguments: dict[str, Any]) -> str:
    import yaml

    model = {"class_path": "DiffusionTask", "init_args": arguments}
    call = "task.sample(prompts)" if args.autoencoder else "task.denoise(latents, t)"
    return (
        f"# {args.importer}, imported from {args.file.name}\n#\n#   python: task = "
        f"vidiff.load({args.output.name!r}); {call}\n"
        + yaml.safe_dump({"model": model}, sort_keys=False)
    )
