"""Training a denoiser on latents under conditions."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from vidiff import generation
from vidiff.autoencoders import Identity, MakeAutoencoder
from vidiff.conditions import MakeCondition, Words
from vidiff.denoisers import Denoiser, DiT, MakeDenoiser, compile_blocks
from vidiff.diffusion import Network, Objective
from vidiff.diffusion.loss_weights import Constant, MakeLossWeight
from vidiff.diffusion.predictions import Flow, MakePrediction
from vidiff.diffusion.schedules import MakeSchedule, Rectified
from vidiff.diffusion.time_samplers import LogitNormal, MakeTimeSampler
from vidiff.guidance import ClassifierFree, MakeGuidance
from vidiff.model import Factories, Model, known_of
from vidiff.optimizers import MakeOptimizer, MuonAdamW
from vidiff.regularisers import MakeRegulariser
from vidiff.samplers import Euler, MakeSampler
from vidiff.training.diffusion.dropout import Dropout
from vidiff.training.encoders import Encoders
from vidiff.training.flops import model_flops
from vidiff.training.sampling.prompts import PromptBatch
from vidiff.training.task import Task
from vidiff.types import Batch, Known, Size

NUM_BINS = 4
"""The held-out loss is logged for this many equal ranges of diffusion time."""


class DiffusionTask(Task):
    """Learns to turn noise into latents of clips under conditions, and samples videos.

    Args:
        denoiser: the network.
        autoencoder: pixels to latents and back; stays as it is.
        conditions: what is known of a clip, by names of your own; each is trained along unless it
            is frozen; ``{}`` for a model without conditions.
        schedule: how noise is added.
        prediction: what the network predicts.
        time_sampler: which diffusion times are trained on.
        loss_weight: how much each time's error counts.
        learn_variance: let the denoiser predict in as many channels again how uncertain a step of
            ancestral sampling is (Nichol & Dhariwal 2021); needs a schedule with discrete steps.
        sampler: walks from noise to latents.
        guidance: how strongly conditions are followed.
        regulariser: a term of the loss on what blocks compute inside; none by default.
        optimizer: which rule updates which parameter.
        warmup_steps: steps over which the learning rate rises linearly from zero.
        decay_fraction: last share of all steps, over which it falls linearly.
        final_lr_fraction: where it falls to, over its peak.
        ema_decay: of the moving average of the weights, which sampling and validation use.
        condition_dropout: share of clips that lose a condition, which guidance needs: of each
            condition by itself, or by the condition's name; ``all`` drops all of them together.
        compile_denoiser: let ``torch.compile`` speed up the denoiser's blocks, each by itself.

    Raises:
        ValueError: if a number is out of its range.
    """

    def __init__(
        self,
        *,
        denoiser: MakeDenoiser = DiT,
        autoencoder: MakeAutoencoder = Identity,
        conditions: dict[str, MakeCondition] = {"text": Words},  # type: ignore[dict-item]  # noqa: B006
        schedule: MakeSchedule = Rectified,
        prediction: MakePrediction = Flow,
        time_sampler: MakeTimeSampler = LogitNormal,
        loss_weight: MakeLossWeight = Constant,
        learn_variance: bool = False,
        sampler: MakeSampler = Euler,
        guidance: MakeGuidance = ClassifierFree,
        regulariser: MakeRegulariser | None = None,
        optimizer: MakeOptimizer = MuonAdamW,
        warmup_steps: int = 50,
        decay_fraction: float = 0.4,
        final_lr_fraction: float = 0.02,
        ema_decay: float = 0.998,
        condition_dropout: float | dict[str, float] = 0.1,
        compile_denoiser: bool = False,
    ) -> None:
        super().__init__(
            optimizer=optimizer, warmup_steps=warmup_steps, decay_fraction=decay_fraction,
            final_lr_fraction=final_lr_fraction, ema_decay=ema_decay,
        )  # fmt: skip
        arguments = self.save_factories(locals())
        self.dropout = Dropout(condition_dropout, list(conditions))
        self.factories = Factories(
            **{part.name: arguments[part.name] for part in fields(Factories)}
        )
        self.encoders = Encoders(self.hparams)
        self.make_sampler, self.make_guidance = sampler, guidance
        self.regulariser = regulariser() if regulariser else None
        self.compile_denoiser = compile_denoiser
        self.clip_size: Size | None = None

    # -- Parts ------------------------------------------------------------------------------------

    def build_parts(self) -> None:
        self.build_encoders()
        self.denoiser = self.factories.make_denoiser(self.autoencoder, self.conditions)
        self.objective = self.factories.make_objective()
        self.sampler, self.guidance = self.make_sampler(), self.make_guidance()
        self.sampler.check(self.objective.schedule)

    def build_encoders(self) -> None:
        """Build what stands before the denoiser, which is all that encoding needs."""
        self.autoencoder, self.conditions = self.encoders.build(self.factories)

    @property
    def model(self) -> Model:
        """The parts as they are trained, together."""
        return Model(self.autoencoder, self.conditions, self.denoiser, self.objective)

    @contextmanager
    def averaged(self) -> Iterator[Model]:
        """The model with averaged weights if there are any, in evaluation mode."""
        with super().averaged() as parts:
            conditions = nn.ModuleDict(dict(self.conditions.items()))
            conditions.update(parts.get("conditions", {}))
            yield Model(self.autoencoder, conditions, parts["denoiser"], self.objective)

    def trained_parts(self) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"denoiser": self.denoiser}
        trained = {name: part for name, part in self.conditions.items() if not part.frozen}
        return parts | ({"conditions": nn.ModuleDict(trained)} if trained else {})

    def configure_model(self) -> None:
        fresh = not self.parts_built
        super().configure_model()
        if fresh and self._trainer is not None:
            _ = self.encoders.named  # hashed now, before the trainer's precision changes weights
        if fresh and self.compile_denoiser:
            averages = [self.ema["denoiser"]] if self.ema is not None else []
            for denoiser in (self.denoiser, *averages):  # an average validates and samples
                assert isinstance(denoiser, Denoiser)
                compile_blocks(denoiser)

    # -- Steps ------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.clip_size = max(self.clip_size or batch.size, batch.size, key=math.prod)
        model = self.model
        latents = model.latents_of(batch)
        signals = model.signals_of(batch, latents, self.dropout.draw(len(batch)))
        regulariser = self.regulariser
        tapped: AbstractContextManager[Any] = nullcontext()
        if regulariser:
            tapped = self.denoiser.tapped(regulariser.blocks)
        with tapped as features:
            loss = self.objective.loss(model.network(signals), latents, known=known_of(signals))
        total, terms = loss.weighted.mean(), {"mse": loss.unweighted.mean()}
        if regulariser:
            terms["regulariser"] = regulariser(features)
            total = total + terms["regulariser"]
        self.finish_step({"loss": total, **terms}, len(batch))
        return total

    def count_flops(self, batch: Batch) -> int:
        with self.averaged() as model:
            return model_flops(model, batch)

    def tokens_per_clip(self, batch: Batch) -> int:
        return self.model.num_tokens(batch.size)

    def logged(self) -> frozenset[str] | None:
        bins = [bin_name("val", k) for k in range(NUM_BINS)]
        terms = ["train/regulariser"] if self.regulariser else []
        return frozenset(["train/loss", "train/mse", "val/loss", *terms, *bins])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Squared error of the averaged weights by range of time, on noise that stays the same."""
        self.measure(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.measure(batch, "test")

    def measure(self, batch: Batch, split: str) -> None:
        """Log the held-out loss."""
        with self.averaged() as model:
            latents = model.latents_of(batch)
            signals = model.signals_of(batch, latents)
            network, known = model.network(signals), known_of(signals)
            losses = held_out_losses(self.objective, network, latents, batch.ids, known)
        bins = {bin_name(split, k): loss for k, loss in enumerate(losses)}
        self.log_measured({**bins, f"{split}/loss": torch.stack(losses).mean()}, len(batch))

    # -- Sampling ---------------------------------------------------------------------------------

    def predict_step(self, batch: PromptBatch, batch_idx: int) -> Tensor:
        """Sample the videos of a batch."""
        exact = torch.autocast(self.device.type, enabled=False) if batch.exact else nullcontext()
        with exact:
            return self.sample(
                batch.prompts, indices=batch.indices, seed=batch.seed, inputs=batch.inputs,
                sampling=batch.sampling,
            )  # fmt: skip

    def sample(self, prompts: Sequence[str], **settings: Any) -> Tensor:
        """Videos of b prompts by the averaged weights, see ``vidiff.generation.sample``."""
        self.configure_model()
        with self.averaged() as model:
            return generation.sample(
                model, prompts, sampler=self.sampler, guidance=self.guidance,
                clip_size=self.clip_size, **settings,
            )  # fmt: skip

    @torch.no_grad()
    def denoise(self, latents: Tensor, t: Tensor, *args: Any, **inputs: Any) -> Tensor:
        """The denoiser's output of the averaged weights: ``vidiff.generation.network_output``."""
        self.configure_model()
        with self.averaged() as model:
            return generation.network_output(model, latents, t, *args, **inputs)

    # -- Checkpoints ------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint |= self.encoders.held()
        checkpoint["clip_size"] = list(self.clip_size) if self.clip_size else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        size = checkpoint.get("clip_size")
        self.clip_size = (size[0], size[1], size[2]) if size else None
        if self.parts_built:
            self.encoders.check(checkpoint)


def held_out_draws(ids: Sequence[str], latents: Tensor) -> tuple[Tensor, Tensor]:
    """Noise like ``latents`` and u (b,) in [0, 1), from each clip's id."""
    generators = [torch.Generator().manual_seed(zlib.crc32(clip.encode())) for clip in ids]
    u = torch.cat([torch.rand(1, generator=g) for g in generators])
    noise = torch.stack([torch.randn(latents.shape[1:], generator=g) for g in generators])
    return noise.to(latents), u.to(latents.device)


def held_out_losses(
    objective: Objective,
    network: Network,
    latents: Tensor,
    ids: Sequence[str],
    known: Known | None,
) -> list[Tensor]:
    """The squared error in each range of times, scalars; a clip's draws are always the same."""
    noise, u = held_out_draws(ids, latents)
    return [
        objective.loss(network, latents, (k + u) / NUM_BINS, noise, known).unweighted.mean()
        for k in range(NUM_BINS)
    ]


def bin_name(split: str, number: int) -> str:
    """The name of the loss over a range of times, in percent."""
    percent = 100 // NUM_BINS
    return f"{split}/loss_t{number * percent}-{(number + 1) * percent}"
