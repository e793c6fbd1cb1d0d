"""Training a denoiser on latents under conditions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vidiff.autoencoders import Autoencoder, Identity, MakeAutoencoder
from vidiff.building import Node
from vidiff.conditions import MakeCondition, Words
from vidiff.denoisers import Denoiser, DiT, MakeDenoiser, compile_blocks
from vidiff.diffusion import Objective
from vidiff.diffusion.loss_weights import Constant, MakeLossWeight
from vidiff.diffusion.predictions import Flow, MakePrediction
from vidiff.diffusion.schedules import MakeSchedule, Rectified
from vidiff.diffusion.time_samplers import LogitNormal, MakeTimeSampler
from vidiff.guidance import ClassifierFree, Guidance, MakeGuidance
from vidiff.model import Drop, Factories, Model, known_of, merged
from vidiff.optimizers import MakeOptimizer, MuonAdamW
from vidiff.regularisers import MakeRegulariser
from vidiff.samplers import Euler, MakeSampler, Sampler
from vidiff.training.base import Task, counting
from vidiff.training.dropout import Dropout
from vidiff.training.encoders import Encoders
from vidiff.training.held_out import NUM_BINS, bin_name, held_out_draws
from vidiff.training.sampled import Sampled
from vidiff.types import Batch, Grid, LatentBatch, Signals


class DiffusionTask(Encoders, Task, Sampled):
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
        condition_dropout: share of clips whose conditions are replaced by the unconditional input,
            which guidance needs: for each condition by itself, or by the condition's name; ``all``
            drops all of a clip's conditions together.
        compile_denoiser: let ``torch.compile`` speed up the denoiser's blocks, each by itself.

    Raises:
        ValueError: if a number is out of its range.
    """

    denoiser: Denoiser
    autoencoder: Autoencoder
    conditions: nn.ModuleDict
    objective: Objective
    sampler: Sampler
    guidance: Guidance

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
        self.dropout = Dropout(condition_dropout, list(conditions))
        self.remember({k: v for k, v in locals().items() if k not in ("self", "__class__")})
        self.factories = Factories(
            denoiser=denoiser, autoencoder=autoencoder, conditions=conditions, schedule=schedule,
            prediction=prediction, time_sampler=time_sampler, loss_weight=loss_weight,
            learn_variance=learn_variance,
        )  # fmt: skip
        self.make_sampler, self.make_guidance = sampler, guidance
        self.regulariser = regulariser() if regulariser else None
        self.compile_denoiser = compile_denoiser
        self.clip_size: Grid | None = None
        self.autoencoder_node: Node = self.hparams["autoencoder"]

    # -- Parts ------------------------------------------------------------------------------------

    def build_parts(self) -> None:
        self.build_encoders()
        self.denoiser = self.factories.make_denoiser(self.autoencoder, self.conditions)
        self.objective = self.factories.make_objective()
        self.sampler, self.guidance = self.make_sampler(), self.make_guidance()
        self.sampler.check(self.objective.schedule)

    @property
    def model(self) -> Model:
        """The parts as they are trained, together."""
        return Model(self.autoencoder, self.conditions, self.denoiser, self.objective)

    @contextmanager
    def averaged(self) -> Iterator[Model]:
        """The model with averaged weights if there are any, in evaluation mode."""
        with super().averaged() as parts:
            conditions = dict(self.conditions.items())
            conditions.update(parts.get("conditions", {}).items())
            modules = nn.ModuleDict(conditions)
            yield Model(self.autoencoder, modules, parts["denoiser"], self.objective)

    def trained_parts(self) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"denoiser": self.denoiser}
        trained = {name: part for name, part in self.conditions.items() if not part.frozen}
        return parts | ({"conditions": nn.ModuleDict(trained)} if trained else {})

    def configure_model(self) -> None:
        fresh = not self.parts_built
        super().configure_model()
        if fresh and self._trainer is not None:
            self.name_encoders()  # now, before the trainer's precision changes weights
        if fresh and self.compile_denoiser:
            compile_blocks(self.denoiser)
            if self.ema is not None:  # it validates and samples
                average = self.ema["denoiser"]
                assert isinstance(average, Denoiser)
                compile_blocks(average)

    # -- Steps ------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.clip_size = max(self.clip_size or batch.size, batch.size, key=math.prod)
        model, latents = self.model, self.latents_of(batch)
        signals = self.signals_of(model, batch, latents, self.dropout.draw(len(batch)))
        network, known = model.network(signals), known_of(signals)
        if self.regulariser is None:
            loss = self.objective.loss(network, latents, known=known)
            total, terms = loss.weighted.mean(), {}
        else:
            with self.denoiser.tapped(self.regulariser.blocks) as features:
                loss = self.objective.loss(network, latents, known=known)
            term = self.regulariser(features)
            total, terms = loss.weighted.mean() + term, {"regulariser": term}
        self.finish_step({"loss": total, "mse": loss.unweighted.mean(), **terms}, len(batch))
        return total

    @torch.no_grad()
    def latents_of(self, batch: Batch) -> Tensor:
        """The latents of a batch: (b, c, f, h, w)."""
        if isinstance(batch, LatentBatch):
            return batch.latents
        return self.autoencoder.encode(batch.pixels)

    def signals_of(
        self, model: Model, batch: Batch, latents: Tensor, drop: Drop | None = None
    ) -> Signals:
        """The signals of a batch's clips, unconditional where dropped."""
        held: Signals = {}
        if isinstance(batch, LatentBatch):
            frozen = {n for n, part in model.conditions.items() if part.frozen}
            held = {name: signal for name, signal in batch.signals.items() if name in frozen}
            held = merged(held, batch.empty, drop or {})
        inputs = {**batch.inputs, "latents": latents, "latent_shape": tuple(latents.shape[1:])}
        return model.signals(inputs, drop, held)

    def count_flops(self, batch: Batch) -> int:
        with counting() as counter, self.averaged() as model, torch.no_grad():
            latents = self.latents_of(batch)
            frozen = counter.get_total_flops()
            inputs = {**batch.inputs, "latents": latents, "latent_shape": tuple(latents.shape[1:])}
            signals: Signals = {}
            for name, part in model.conditions.items():
                before = counter.get_total_flops()
                signals[name] = model.signals(inputs, held=signals, only=[name])[name]
                frozen += (counter.get_total_flops() - before) * bool(part.frozen)
            model.network(signals)(latents, latents.new_zeros(len(batch)))
        return frozen + 3 * (counter.get_total_flops() - frozen)

    def tokens_per_clip(self, batch: Batch) -> int:
        patchifier = getattr(self.denoiser, "patchifier", None)
        if patchifier is None:
            return 0
        return math.prod(patchifier.grid(*self.autoencoder.latent_size(*batch.size)))

    def logged(self) -> frozenset[str] | None:
        bins = [bin_name("val", k) for k in range(NUM_BINS)]
        terms = ["train/regulariser"] if self.regulariser else []
        return frozenset(["train/loss", "train/mse", "val/loss", *terms, *bins])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Squared error of the averaged weights by range of time, on noise that stays the same."""
        self.measure(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """The same on the test split."""
        self.measure(batch, "test")

    def measure(self, batch: Batch, split: str) -> None:
        """Log the held-out loss."""
        latents = self.latents_of(batch)
        noise, u = held_out_draws(batch.ids, latents)
        with self.averaged() as model:
            signals = self.signals_of(model, batch, latents)
            network, known = model.network(signals), known_of(signals)
            losses = [
                self.objective.loss(
                    network, latents, (k + u) / NUM_BINS, noise, known
                ).unweighted.mean()
                for k in range(NUM_BINS)
            ]
        logged = {bin_name(split, k): x for k, x in enumerate(losses)}
        logged[f"{split}/loss"] = torch.stack(losses).mean()
        # Lightning averages batch sizes over processes in integers: made to divide, they are exact.
        weight = len(batch) * self.trainer.world_size
        self.log_dict(logged, batch_size=weight, sync_dist=True, on_epoch=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint |= self.encoders_held()
        checkpoint["clip_size"] = list(self.clip_size) if self.clip_size else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        size = checkpoint.get("clip_size")
        self.clip_size = (size[0], size[1], size[2]) if size else None
        if self.parts_built:
            self.check_encoders(checkpoint)
