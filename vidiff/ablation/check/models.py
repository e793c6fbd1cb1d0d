"""Parsed models, built on the meta device and counted there."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace

from vidiff.ablation.ask import nodes
from vidiff.ablation.ask.cells import ROOT
from vidiff.ablation.ask.nodes import Config
from vidiff.ablation.check.parser import Parser
from vidiff.costs.configs import checkpoint_of
from vidiff.costs.count import Clips, Counts, count, num_trained
from vidiff.costs.plan import plan
from vidiff.training import AutoencoderTask, Task


class Models:
    """Builds and counts parsed models.

    An autoencoder from the folder of a config that comes ``first`` is built as it will be trained.
    """

    def __init__(self, parser: Parser, first: Sequence[Config]) -> None:
        self.parser = parser
        self._first = {_resolved(nodes.get(c, ROOT, "runs/unnamed")): c for c in first}

    def parameters(self, model: Namespace) -> int:
        """The trained parameters of a model, which is built and not run."""
        return num_trained(self.build(model))

    def count(self, model: Namespace, clips: Clips) -> Counts:
        """Count a batch of each size and the optimizer step; a ``ValueError`` if they misfit."""
        task = self.build(model)
        try:
            return count(task, clips, self.parser.once.keep)
        except RuntimeError:  # wrong, which a plan will say, or not for the meta device
            costs = {
                size: plan(self.make(model), clip=size, batch_size=clips.batch_size, device="cpu")
                for size in clips.sizes
            }[clips.largest]
            return Counts(
                num_trained(task), costs.tokens_per_clip, costs.flops, costs.optimizer_flops
            )

    def build(self, model: Namespace) -> Task:
        """The task of a model, on the meta device."""
        task = self.make(model)
        task.ema_decay = 0.0  # a second copy would add nothing to what is counted
        with torch.device("meta"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*no-op.*")  # loading weights there
            task.configure_model()
        return task

    def make(self, model: Namespace) -> Task:
        """The task of a model, whose parts are not built yet."""
        return self.parser.instantiate("model", self._with_stand_ins(model))

    def _with_stand_ins(self, node: Any) -> Any:
        """A node in which what will be trained stands in the place of its checkpoint."""
        if not isinstance(node, Namespace):
            return node
        checkpoint = checkpoint_of(node) if "class_path" in node else None
        if checkpoint is None:
            return Namespace(**{k: self._with_stand_ins(v) for k, v in vars(node).items()})
        for folder, config in self._first.items():
            if _resolved(checkpoint).is_relative_to(folder):
                return self.parser.once(self._autoencoder, checkpoint, config)
        if not Path(checkpoint).exists():
            raise ValueError(
                f"checkpoint {checkpoint} does not exist, and no config under first writes there: "
                "train it, or name the config that does under first"
            )
        return node

    def _autoencoder(self, checkpoint: str, config: Config) -> Namespace:
        """The node of the autoencoder that a config trains."""
        task = self.parser.instantiate("model", self.parser.parse(config).model)
        if not isinstance(task, AutoencoderTask):
            raise ValueError(f"{checkpoint} will hold a {type(task).__name__}, and no autoencoder")
        node = task.hparams["autoencoder"]
        return self.parser.argument("AutoencoderTask", "autoencoder", node)


def _resolved(path: Any) -> Path:
    return Path(str(path)).expanduser().resolve()
