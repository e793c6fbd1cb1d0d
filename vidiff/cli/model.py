"""Commands in which a model and a trainer take part; importing this imports Lightning."""

from __future__ import annotations

import inspect
import json
import logging
from argparse import SUPPRESS
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse._util import import_object
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from vidiff.checkpoints import CheckpointFile, held_node, trained_in
from vidiff.cli import names
from vidiff.cli.allocator import keep_buffers
from vidiff.cli.endings import saying_how_it_ended
from vidiff.cli.parser import VidiffParser
from vidiff.cli.run_folder import (
    CONFIG,
    SaveConfig,
    differences,
    find_checkpoint,
    open_or_refuse,
    refuse_second_run,
    whole_checkpoints,
    with_loggers_in,
)
from vidiff.commands.base import ModelCommand
from vidiff.data.cache_index import INDEX, read_index
from vidiff.errors import UsageError
from vidiff.plugins import load_builtin
from vidiff.precision import AUTO, choose, device_of
from vidiff.registry import Component, get_component, get_kind
from vidiff.training import AutoencoderTask, Task
from vidiff.training.data import VideoDataModule
from vidiff.training.trainer import VidiffTrainer
from vidiff.yaml_files import load_yaml, read_yaml

OF_FIT = ("init_from", "init_include", "init_exclude")
"""Keys of a run's config that other commands have no use for."""

LOADERS = {"dataloaders", "train_dataloaders", "val_dataloaders"}
NO_OPTIONS = {"trainer", "model", "datamodule", "opened", *LOADERS}
"""Arguments of methods that are given, or not used."""


def run(words: Sequence[str], plugins: Sequence[str] = ()) -> int:
    """Parse, check, build and run a model command: ``words`` are without ``--plugins``."""
    names.install()
    logging.getLogger(rank_zero.__name__).addFilter(lambda r: "Tip: " not in r.getMessage())
    if given := [w for w in words[1:] if w.startswith("--init_") and words[0] != "fit"]:
        raise UsageError(f"{given[0]} is an option of fit, where training begins")
    VidiffParser.full_help = "--help-all" in words
    words = ["--help" if word == "--help-all" else word for word in words]
    # Last, so that a saved config holds the plugins of the flag and those of the configs.
    flag = [f"--plugins={json.dumps(list(plugins))}"] if plugins else []
    VidiffCLI([*words, *flag])
    return 0


def make_parser() -> LightningArgumentParser:
    """The parser of all model commands, for tests and tools; it parses and builds nothing."""
    load_builtin()
    names.install()
    try:
        _ParserAlone([])
    except _ParserIsMade as made:
        return made.args[0]
    raise AssertionError("LightningCLI no longer parses when it is built")


class VidiffCLI(LightningCLI):
    """LightningCLI with registered names, and without its traps.

    A checkpoint's hyperparameters never override what the config says: where they differ, the
    command stops. A run never writes into the folder of another.
    """

    opened: CheckpointFile | None = None
    """The checkpoint that was asked for, which is given to the methods that name it."""

    def __init__(self, args: Sequence[str]) -> None:
        self.asked = args[:1]
        super().__init__(
            model_class=Task,
            datamodule_class=VideoDataModule,
            trainer_class=VidiffTrainer,
            save_config_callback=SaveConfig,
            trainer_defaults={"default_root_dir": "runs/unnamed"},
            seed_everything_default=0,
            subclass_mode_model=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # tasks remember their arguments themselves
            parser_class=VidiffParser,
            args=list(args),
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The model commands, and the arguments of their methods that are no options."""
        return {name: NO_OPTIONS & _arguments(name) for name in model_commands()}

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        """The registered ones: unlike the original, not only methods of the trainer.

        Only the command that is asked for gets options, which take a while; all do if none is.
        """
        self._subcommand_parsers, added = {}, parser.add_subcommands()
        for name, skip in self.subcommands().items():
            summary = get_component("command", name).summary
            command = self._subcommand_parsers[name] = self.init_parser(description=summary)
            if not self.asked or name in self.asked:
                self._add_options(name, command, skip)
            added.add_subcommand(name, command, help=summary)

    def _add_options(self, name: str, command: LightningArgumentParser, skip: set[str]) -> None:
        self._add_arguments(command)
        options = command.add_method_arguments(*_method(name), skip=set(skip))
        self._subcommand_method_arguments[name] = options
        # Other commands read the config of a run, and pass over what only ``fit`` does.
        for option in set(OF_FIT) - set(options):
            command.add_argument(f"--{option}", type=Any, default=None, help=SUPPRESS)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``plugins``, so that a saved config loads them again."""
        parser.add_argument(
            "--plugins", type=list[str] | str | None, default=None,
            help="Files and modules that register components of their own.",
        )  # fmt: skip

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; unlike the original, say nothing about ``sys.argv``, which holds the same."""
        VidiffParser.refusals.clear()
        self.config = parser.parse_args(args)
        refuse_others(self.config[self.config.subcommand])

    def _parse_ckpt_path(self) -> None:
        """Find the checkpoint that is asked for, and compare it with the config."""
        command = self.config.subcommand
        config = self.config[command]
        if "ckpt_path" not in config:  # a plugin's command
            return
        folder = Path(config.trainer.default_root_dir or ".")
        go_on = command == "fit" and str(config.ckpt_path) == "auto"
        if config.ckpt_path:
            self.opened = find_checkpoint(str(config.ckpt_path), folder, command)
            config.ckpt_path = str(self.opened.path) if self.opened else None
        if self.opened:
            self._compare(command, self.opened)
            if command == "fit" and config.trainer.precision == AUTO:
                config.trainer.precision = _precision_of(self.opened, config.trainer)
        elif get_component("command", command).cls.needs_checkpoint and not (  # type: ignore[attr-defined]
            command in ("validate", "test") and self._is_whole()
        ):
            raise UsageError(
                f"{command} needs a trained model: give --ckpt_path, or `last` for the newest "
                f"checkpoint of {folder}"
            )
        if command == "fit" and config.init_from and not config.ckpt_path:
            if not Path(config.init_from).exists():
                raise UsageError(f"--init_from {config.init_from} does not exist")
            open_or_refuse(config.init_from)
        if command == "fit" and getattr(rank_zero_only, "rank", 0) == 0:
            began = not config.ckpt_path and self._began(folder)
            if not (go_on and began):
                refuse_second_run(folder, config.ckpt_path, began)

    def _is_whole(self) -> bool:
        """Whether the model is there without training: a published autoencoder to be measured."""
        command = self.config.subcommand
        config = Namespace(model=self.config[command].model)
        model = _dumped(self._subcommand_parsers[command], config)
        return (
            issubclass(import_object(model["class_path"]), AutoencoderTask)
            and import_object(model["autoencoder"]["class_path"]).frozen
        )

    def _began(self, folder: Path) -> bool:
        """Whether a run of this very model began in the folder, and left no checkpoint."""
        if not (folder / CONFIG).exists() or next(whole_checkpoints(folder), None):
            return False
        model = read_yaml(folder / CONFIG)["model"]
        held = {"class_path": model["class_path"], **(model.get("init_args") or {})}
        config = Namespace(model=self.config["fit"].model)
        return not differences(_dumped(self._subcommand_parsers["fit"], config), held)

    def _compare(self, command: str, checkpoint: CheckpointFile) -> None:
        parser, ckpt_path = self._subcommand_parsers[command], checkpoint.path
        held = held_node(checkpoint.head)
        if held["class_path"] is None:
            raise UsageError(f"--ckpt_path {ckpt_path} does not say which task it was made by")
        try:
            parsed = parser.parse_object({"model": held}, _skip_required=True)
        except UsageError as error:
            raise UsageError(f"--ckpt_path {ckpt_path} cannot be rebuilt: {error}") from error
        asked = _dumped(parser, Namespace(model=self.config[command].model))
        differing = differences(asked, _dumped(parser, Namespace(model=parsed.model)))
        begin = (
            f"--init_from {ckpt_path} begins a new run from its weights (in another "
            "--trainer.default_root_dir)"
        )
        if differing:
            raise UsageError(
                f"--ckpt_path {ckpt_path} holds another model than the config asks for: "
                f"{'; '.join(differing)}. Use the config of that run (config.yaml in its folder)"
                f"{'; or ' + begin if command == 'fit' else ''}"
            )
        if command == "fit" and "lr_schedulers" not in checkpoint.head:
            raise UsageError(
                f"--ckpt_path {ckpt_path} holds weights without the state of a training run, so "
                f"there is nothing to go on with: {begin}"
            )

    def before_instantiate_classes(self) -> None:
        """Everything is checked by now."""
        command, config = self.config.subcommand, self.config[self.config.subcommand]
        if command == "encode" and config.trainer.precision == AUTO:
            begun = Path(config.output)  # its shards are alike, whichever machine goes on with them
            if (begun / INDEX).exists():
                config.trainer.precision = read_index(begun).precision or AUTO
        asked = config.trainer.accelerator
        if asked == "cpu" or (asked == "auto" and not torch.accelerator.is_available()):
            keep_buffers()

    def instantiate_classes(self) -> None:
        """Build everything; what is saved is the config as it was asked for."""
        self.asked, self.config = self.config, self.config.clone()
        config = self.config[self.config.subcommand]
        folder = Path(config.trainer.default_root_dir or ".")
        config.trainer = with_loggers_in(folder, config.trainer)
        super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Unless a logger is asked for, let ``fit`` log into the run folder and others nowhere."""
        config = self._get(self.config_init, "trainer")
        if config.logger is None:
            kwargs["logger"] = self.subcommand == "fit" and TensorBoardLogger(
                config.default_root_dir, name="", version="", default_hp_metric=False
            )
        self.config = self.asked
        return super().instantiate_trainer(**kwargs)

    def _run_subcommand(self, subcommand: str) -> None:
        """Run it, and say where it wrote and what to type next."""
        with saying_how_it_ended(subcommand, self.config[subcommand], self.trainer, self.model):
            cls, method = _method(subcommand)
            worker = self.trainer if cls is VidiffTrainer else cls()
            getattr(worker, method)(**self._prepare_subcommand_kwargs(subcommand))

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        given = super()._prepare_subcommand_kwargs(subcommand) | {
            "trainer": self.trainer, "opened": self.opened
        }  # fmt: skip
        return {name: value for name, value in given.items() if name in _arguments(subcommand)}


class _ParserAlone(VidiffCLI):
    """Stops where LightningCLI's constructor, having made the parser, would go on and run."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        raise _ParserIsMade(parser)


class _ParserIsMade(Exception):
    """Carries the parser out of the constructor."""


def refuse_others(config: Namespace) -> None:
    """Refuse settings beside ``init_args``, which jsonargparse hands to ``**kwargs`` of a class."""
    for key, value in config.items(branches=True):
        if key.endswith(".dict_kwargs") and value:
            key = key.replace(".init_args", "")
            raise UsageError(f"unknown option {key!r}; settings of a class go under init_args")


def model_commands() -> dict[str, Component]:
    """The registered ``ModelCommand`` classes by name."""
    commands = get_kind("command").components
    return {name: c for name, c in commands.items() if issubclass(c.cls, ModelCommand)}


def _method(command: str) -> tuple[type, str]:
    """The class and the name of the method that does a command's work."""
    cls = get_component("command", command).cls
    return (cls, "work") if hasattr(cls, "work") else (VidiffTrainer, command)


def _arguments(command: str) -> set[str]:
    return set(inspect.signature(getattr(*_method(command))).parameters)


def _dumped(parser: LightningArgumentParser, config: Namespace) -> dict[str, Any]:
    dumped = load_yaml(parser.dump(config, skip_unset=False, skip_validation=True))
    model = dumped["model"]
    return {"class_path": model["class_path"], **model.get("init_args", {})}


def _precision_of(checkpoint: CheckpointFile, trainer: Namespace) -> str:
    """The precision in which a run began and goes on, if this machine has it."""
    held = trained_in(checkpoint.head)
    if held == "16-mixed" and device_of(trainer.accelerator) == "cpu":
        raise UsageError(
            f"--ckpt_path {checkpoint.path} was trained in 16-mixed, which a CPU does not have: "
            f"go on where there is a GPU, or give --trainer.precision {choose('cpu').precision}"
        )
    return held or AUTO
