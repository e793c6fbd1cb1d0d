"""Models built on the meta device, and what they take, counted there.

What is counted of one model serves for all of the same structure: those that differ in learning
rates or predictions alone.
"""

from __future__ import annotations

import hashlib
import math
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff.ablation import nodes
from vidiff.ablation.cells import ROOT
from vidiff.ablation.nodes import Config
from vidiff.ablation.parsing import Parser

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from vidiff.training import Task
    from vidiff.types import Grid


@dataclass(frozen=True)
class Clips:
    """What a model gets.

    Attributes:
        sizes: frames, height and width of clips, all that there are.
        encoded: whether they are latents already.
        batch_size: how many come at once.
    """

    sizes: tuple[Grid, ...]
    encoded: bool
    batch_size: int

    @property
    def largest(self) -> Grid:
        """The size of most pixels."""
        return max(self.sizes, key=math.prod)


@dataclass(frozen=True)
class Counts:
    """What a model takes, as ``vidiff plan`` counts it.

    Attributes:
        parameters: those that are trained, of all parts.
        tokens_per_clip: of the largest clips; 0 where there are none.
        flops: floating-point operations of a batch of these, a multiply-add counted as two.
        optimizer_flops: those of the optimizer's matrix products.
    """

    parameters: int
    tokens_per_clip: int
    flops: int
    optimizer_flops: int


class Models:
    """Builds and counts parsed models.

    Args:
        parser: has parsed them.
        first: configs that are trained before. An autoencoder that is read from the folder of one
            is built as what this one will have trained.
    """

    def __init__(self, parser: Parser, first: Sequence[Config]) -> None:
        self.parser = parser
        self._first = {_resolved(nodes.get(c, ROOT, "runs/unnamed")): c for c in first}

    def parameters(self, model: Namespace) -> int:
        """The trained parameters of a model, which is built and not run."""
        return _trained(self.build(model))

    def count(self, model: Namespace, clips: Clips) -> Counts:
        """Let a batch of each size through a model, and the optimizer step.

        Raises:
            ValueError: if the parts do not fit together, or a size does not fit them.
        """
        from vidiff.training.planning import count_batch, optimizer_products, plan, readable

        task, keep = self.build(model), self.parser.once.keep
        structure, optimizer = _structure(task), _without_rates(task.hparams.get("optimizer"))
        encoder = _content(getattr(task, "conditions", None))

        def keep_products(key: Any, count: Callable[[], int]) -> int:
            return keep(("parameter", optimizer, key), count)

        of_size = {}
        try:
            caption = keep(("caption", encoder), partial(readable, task))
            for size in clips.sizes:
                count = partial(
                    count_batch, task, clip=size, batch_size=clips.batch_size,
                    encoded=clips.encoded, caption=caption,
                )  # fmt: skip
                key = ("batch", structure, size, clips.batch_size, clips.encoded)
                of_size[size] = keep(key, count)
            step = partial(optimizer_products, task, keep_products)
            products = keep(("step", structure, optimizer), step)
        except RuntimeError:  # wrong, which a plan will say, or not for the meta device
            for size in clips.sizes:
                costs = plan(self.make(model), clip=size, batch_size=clips.batch_size, device="cpu")
                of_size[size] = costs.tokens_per_clip, costs.flops
                products = costs.optimizer_flops
        tokens, flops = of_size[clips.largest]
        return Counts(_trained(task), tokens, flops, products)

    def build(self, model: Namespace) -> Task:
        """The task of a model, on the meta device."""
        import torch

        task = self.make(model)
        task.ema_decay = 0.0  # a second copy would add nothing to what is counted
        with torch.device("meta"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*no-op.*")  # loading weights there
            task.configure_model()
        return task

    def make(self, model: Namespace) -> Task:
        """The task of a model, whose parts are not built yet."""
        return self.parser.instantiate("model", self._with_stand_ins(model))

    # -- What is still to be trained ---------------------------------------------------------------

    def _with_stand_ins(self, node: Any) -> Any:
        """A node in which what will be trained stands in the place of its checkpoint."""
        from jsonargparse import Namespace

        from vidiff.commands.plan import checkpoint_of

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
        from vidiff.training import AutoencoderTask

        task = self.parser.instantiate("model", self.parser.parse(config).model)
        if not isinstance(task, AutoencoderTask):
            raise ValueError(
                f"{checkpoint} will hold no autoencoder: what is trained there first is a "
                f"{type(task).__name__}"
            )
        name = "autoencoder"
        return self.parser.argument("AutoencoderTask", name, task.hparams[name])


def _trained(task: Task) -> int:
    return sum(p.numel() for p in task.parameters() if p.requires_grad)


def _structure(task: Task) -> object:
    """Equal for tasks whose batches take the same.

    They have the same parts, down to all settings and the shapes of all weights, and themselves the
    same plain settings.
    """
    plain = {k: v for k, v in vars(task).items() if isinstance(v, bool | int | float | str)}
    return _content((type(task), plain, dict(task.named_children())))


def _content(value: object) -> object:
    """Equal for values of the same content; where that cannot be told, for none."""
    try:
        return hashlib.sha256(pickle.dumps(value)).hexdigest()
    except (AttributeError, TypeError, pickle.PicklingError):
        return object()


def _without_rates(optimizer: Any) -> str:
    """An optimizer's node without its learning rates, on which no count depends."""
    if not isinstance(optimizer, Mapping):
        return repr(optimizer)
    settings = optimizer.get("init_args") or {}
    return repr(
        (optimizer["class_path"], {k: v for k, v in settings.items() if "lr" not in k.split("_")})
    )


def _resolved(path: Any) -> Path:
    return Path(str(path)).expanduser().resolve()
