"""Every run is parsed, built on the meta device and counted before any is trained."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import StrategyRegistry

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.nodes import Config
from vidiff.ablation.check import options
from vidiff.ablation.check.models import Models
from vidiff.ablation.check.parser import Once, Parser
from vidiff.captions import read_prompts
from vidiff.costs.configs import clip_sizes, num_devices
from vidiff.costs.count import Clips, Counts
from vidiff.errors import Errors, UsageError
from vidiff.registry import nearest
from vidiff.training.trainer import VidiffTrainer
from vidiff.types import LatentSample


@dataclass(frozen=True)
class Checked:
    """A config as ``vidiff fit`` parses it (the model without its defaults), and its counts."""

    config: Namespace
    clips: Clips
    counts: Counts


@dataclass(frozen=True)
class RunCosts:
    """What a run takes: FLOPs of one device (a multiply-add is two), video tokens of all."""

    parameters: int
    flops_per_step: int
    steps: int
    tokens: int
    flops: int


class Checker:
    """Refuses what ``vidiff fit`` would refuse, and counts what it would do.

    Data are opened only where nothing else has the size of the clips. ``first``: as in ``Models``.
    """

    def __init__(self, first: Sequence[Config] = ()) -> None:
        self._once = Once()
        self._parser = Parser(self._once)
        self._models = Models(self._parser, first)
        self.parser = self._parser.commands

    def examine(self, config: Config) -> RunCosts | str:
        """What a run takes, or what is wrong with its config in one line."""
        try:
            return self.costs(config)
        except Exception as error:  # a plugin's block may raise anything
            return _line(error)

    def check(self, config: Config) -> Checked:
        """Parse a config, and build and count its model on the meta device.

        A ``UsageError`` if it is no config of an ablation; a ``ValueError`` if its parts misfit.
        """
        parsed = self._parser.parse(config)
        for name in ("trainer", "data"):
            if not hasattr(parsed[name], "get"):
                raise UsageError(f"{name}: expected settings, got {parsed[name]!r}")
        if parsed.get("ckpt_path"):
            raise UsageError("ckpt_path: runs go on from their own checkpoints: leave it out")
        if parsed.trainer.max_steps < 1:
            raise UsageError(
                "trainer.max_steps: say how many steps there are, since runs are compared by them; "
                f"got {parsed.trainer.max_steps}"
            )
        self._once(self._check_trainer, parsed.trainer)
        clips = self._once(self._clips, parsed.data)
        return Checked(parsed, clips, self._once(self._models.count, parsed.model, clips))

    def settings(self, config: Config, key: str) -> dict[str, Any]:
        """See ``Parser.settings``."""
        return self._parser.settings(config, key)

    def parameters(self, config: Config) -> int:
        """The trained parameters of a config's model, which is built and not run."""
        return self._once(self._models.parameters, self._parser.parse(config).model)

    def costs(self, config: Config) -> RunCosts:
        """What a run takes; raises as ``check``."""
        checked = self.check(config)
        trainer, counts = checked.config.trainer, checked.counts
        num_batches = trainer.accumulate_grad_batches
        num_clips = checked.clips.batch_size * num_batches * num_devices(trainer)
        per_step = num_batches * counts.flops + counts.optimizer_flops
        return RunCosts(
            parameters=counts.parameters,
            flops_per_step=per_step,
            steps=trainer.max_steps,
            tokens=counts.tokens_per_clip * num_clips * trainer.max_steps,
            flops=per_step * trainer.max_steps,
        )

    def check_measuring(
        self,
        samples: Mapping[str, Any] | None,
        evaluation: Mapping[str, Any] | None,
        base: Config,
        metrics: Iterable[str] = (),
    ) -> list[str]:
        """What is wrong with options of sampling and evaluation, and with names of metrics."""
        errors: list[str] = []
        measured = None
        try:
            options.check_sampling(self.parser, samples)
        except (ValueError, UsageError) as error:
            errors.append(_line(error))
        try:
            measured = options.check_evaluation(evaluation, base)
        except Errors as several:
            errors += [f"evaluation: {line}" for line in several.lines]
        except (ValueError, UsageError) as error:
            errors.append(_line(error))
        return errors + options.check_names(metrics, self._names(base, measured))

    def _names(self, base: Config, measured: options.Measured | None) -> options.Names:
        scores, unmeasured = measured or (None, {})
        try:
            parsed = self._parser.parse(base)
            task = self._models.make(parsed.model)
            trainer = self._parser.instantiate("trainer", parsed.trainer)
        except Exception:  # ``examine`` reports what is wrong there
            return options.Names(measured=scores, unmeasured=unmeasured)
        callbacks = trainer.callbacks or []
        callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
        logged, validated = options.logged_by(task, callbacks), trainer.limit_val_batches != 0
        return options.Names(logged, validated, scores, unmeasured)

    def num_units(
        self, metrics: Iterable[str], samples: Mapping[str, Any] | None, base: Config
    ) -> dict[str, int | None]:
        """By metric, how many prompts or clips of a run have a value; None for one value of all."""
        parsed = self._parser.parse(base)
        by_clip = self._models.make(parsed.model).logged_by_clip()
        found: dict[str, int | None] = {}
        for metric in metrics:
            number = 0
            if metric in by_clip:
                number = self._once(self._num_validated, parsed)
            elif samples and options.is_of_videos(metric):
                number = len(read_prompts(str(samples["prompts"])))
            found[metric] = number if number > 1 else None
        return found

    def _num_validated(self, parsed: Namespace) -> int:
        """Clips of a validation."""
        trainer, data = parsed.trainer, self._parser.instantiate("data", parsed.data)
        num_clips = len(data.dataset("val"))
        per_batch = data.val_batch_size * num_devices(trainer)
        limit = trainer.limit_val_batches
        if isinstance(limit, float):
            limit = int(limit * -(-num_clips // per_batch))
        return num_clips if limit is None else min(num_clips, limit * per_batch)

    def data(self, base: Config) -> dict[str, Any]:
        """What the clips of a config are: the dataset, its settings, and a hash of its content."""
        parsed = self._parser.section("data", base.get("data") or {})
        dataset = self._parser.instantiate("data", parsed).dataset("train")
        node = nodes.get(base, "data.dataset")
        settings = node.get("init_args") if isinstance(node, Mapping) else None
        return {
            "class": type(dataset).__name__,
            "num_clips": len(dataset),
            "settings": dict(settings or {}),
            "fingerprint": dataset.fingerprint() or "drawn from the settings",
        }

    def _check_trainer(self, trainer: Namespace) -> None:
        """Build the trainer and its callbacks: on the CPU, as runs may be for other machines."""
        for name, known in {
            "accelerator": ["auto", "gpu", *AcceleratorRegistry.available_accelerators()],
            "strategy": ["auto", *StrategyRegistry.available_strategies()],
        }.items():
            asked = trainer[name]
            if isinstance(asked, str) and asked.lower() not in known:
                raise UsageError(
                    f"trainer.{name}: unknown {name} {asked!r}{nearest(asked, known)}; known: "
                    f"{', '.join(known)}"
                )
        settings = dict(vars(self._parser.instantiate("trainer", trainer)))
        settings |= {"plugins": LightningEnvironment(), "logger": False}
        settings |= {"deterministic": None, "benchmark": None}  # they would change this process
        if trainer.accelerator != "cpu":
            settings |= {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"}
            settings |= {"precision": None}
        with _silence():
            VidiffTrainer(**settings)

    def _clips(self, data: Namespace) -> Clips:
        """As the dataset's arguments say; where they do not, as its first clips are."""
        module = self._parser.instantiate("data", data)
        sizes = clip_sizes(data.dataset)
        if None not in sizes[0]:
            return Clips(tuple(sizes), False, module.batch_size)
        dataset = module.dataset("train")
        samples = [dataset[index] for index in range(dataset.num_sizes)]
        is_encoded = isinstance(samples[0], LatentSample)
        sizes = [s.size if is_encoded else tuple(s.pixels.shape[1:]) for s in samples]
        return Clips(tuple(sizes), is_encoded, module.batch_size)


def _line(error: Exception) -> str:
    """One line, with the kind of the error unless it was meant for a user."""
    line = " ".join(str(error).split())
    is_meant = isinstance(error, UsageError | ValueError) or "Misconfiguration" in repr(error)
    return line if is_meant and line else f"{type(error).__name__}: {line}"


@contextmanager
def _silence() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
