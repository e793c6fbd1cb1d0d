"""Training an autoencoder on clips."""

from __future__ import annotations

import functools
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import register_fsdp_forward_method
from torch.nn import functional as F

from vidiff.autoencoders import Autoencoder, CausalKL, MakeAutoencoder
from vidiff.checks import at_least
from vidiff.discriminators import MakeDiscriminator
from vidiff.optimizers import AdamW, MakeOptimizer
from vidiff.perceptual import MakePerceptual, Perceptual
from vidiff.reconstruction import MakeReconstructionMetric
from vidiff.training.autoencoder.adversary import ADVERSARIAL, Adversary
from vidiff.training.autoencoder.detached import Detached
from vidiff.training.autoencoder.scores import (
    Scores,
    frames_per_second,
    reconstruct,
    score_names,
)
from vidiff.training.flops import counting
from vidiff.training.guard import ZeroGuard
from vidiff.training.task import Task
from vidiff.types import Batch, VideoBatch

ADVICE = (
    "The discriminator has won, or has ceased to count: lower discriminator_optimizer's learning "
    "rate or raise r1_weight, let it begin later (adversarial_start), or set collapse_steps to 0 "
    "to go on all the same"
)


class AutoencoderTask(Task):
    """Learns to rebuild clips from few latents that stay close to their prior.

    The loss is the error of pixels, a perceptual distance if one is given, the divergence from the
    prior, and, if a discriminator is given, how well reconstructions pass for real (Esser et al.
    2021). The discriminator's own optimizer is part of each checkpoint.

    Args:
        autoencoder: what is trained.
        reconstruction: absolute (``l1``) or squared (``l2``) error of pixels.
        kl_weight: weight of the divergence from the prior, in nats per latent value.
        free_bits: bits per latent value that each channel may carry at no cost.
        perceptual: a distance that is closer to what eyes see; none by default.
        perceptual_weight: its weight.
        discriminator: tells reconstructions from real clips; none by default.
        adversarial_weight: weight of passing for real.
        adversarial_start: steps before the discriminator begins to learn and to count.
        adaptive_weight: multiply that weight by the ratio of the other losses' gradient to this
            one's, both at the decoder's last layer, as VQGAN does.
        r1_weight: weight of the squared gradient of the discriminator at real clips (Mescheder et
            al. 2018), which keeps it from becoming too steep.
        discriminator_optimizer: updates the discriminator; its learning rate follows the same
            schedule. AdamW with a learning rate of 1e-4 and betas of 0.5 and 0.99, by default.
        collapse_steps: steps in a row after which training stops if the discriminator's loss, the
            adaptive weight or the whole loss is zero all the while; 0 never stops it.
        metrics: what is measured of reconstructions in validation and test; by default PSNR, SSIM,
            flicker, the latents' mean and deviation and, where there is a codebook, its use.
        optimizer: which rule updates which parameter.
        warmup_steps: steps over which the learning rate rises linearly from zero.
        decay_fraction: last share of all steps, over which it falls linearly.
        final_lr_fraction: where it falls to, over its peak.
        ema_decay: of the moving average of the weights, which validation and the diffusion task
            use; 0 keeps none.

    Raises:
        ValueError: if a number is out of its range.
    """

    autoencoder: Autoencoder
    perceptual: Detached[Perceptual] | None = None
    adversary: Adversary | None
    scores: Scores

    def __init__(
        self,
        *,
        autoencoder: MakeAutoencoder = CausalKL,
        reconstruction: Literal["l1", "l2"] = "l1",
        kl_weight: float = 1e-4,
        free_bits: float = 0.0,
        perceptual: MakePerceptual | None = None,
        perceptual_weight: float = 0.1,
        discriminator: MakeDiscriminator | None = None,
        adversarial_weight: float = 0.1,
        adversarial_start: int = 1000,
        adaptive_weight: bool = True,
        r1_weight: float = 0.0,
        discriminator_optimizer: MakeOptimizer | None = None,
        collapse_steps: int = 50,
        metrics: list[MakeReconstructionMetric] | None = None,
        optimizer: MakeOptimizer = AdamW,
        warmup_steps: int = 50,
        decay_fraction: float = 0.4,
        final_lr_fraction: float = 0.02,
        ema_decay: float = 0.0,
    ) -> None:
        super().__init__(
            optimizer=optimizer, warmup_steps=warmup_steps, decay_fraction=decay_fraction,
            final_lr_fraction=final_lr_fraction, ema_decay=ema_decay,
        )  # fmt: skip
        self.save_factories(locals())
        at_least(
            0, kl_weight=kl_weight, free_bits=free_bits, perceptual_weight=perceptual_weight,
            adversarial_weight=adversarial_weight, adversarial_start=adversarial_start,
            r1_weight=r1_weight, collapse_steps=collapse_steps,
        )  # fmt: skip
        self.make_autoencoder, self.kl_weight, self.free_bits = autoencoder, kl_weight, free_bits
        self.make_perceptual, self.perceptual_weight = perceptual, perceptual_weight
        self.make_discriminator, self.adversarial_start = discriminator, adversarial_start
        self.adversarial_weight, self.adaptive_weight = adversarial_weight, adaptive_weight
        self.r1_weight = r1_weight
        self.make_discriminator_optimizer = discriminator_optimizer or functools.partial(
            AdamW, lr=1e-4, betas=(0.5, 0.99)
        )
        self.make_metrics = metrics
        if discriminator is not None and collapse_steps:
            self.guards.append(
                ZeroGuard(("discriminator", "adaptive_weight", "loss"), collapse_steps, ADVICE)
            )
        self.error = F.l1_loss if reconstruction == "l1" else F.mse_loss

    def build_parts(self) -> None:
        self.autoencoder = self.make_autoencoder()
        self.adversary = None
        if self.make_discriminator is not None:
            if self.adaptive_weight and self.device_mesh is not None:
                raise ValueError(
                    "adaptive_weight needs the gradient at the whole last layer, which sharded "
                    "weights do not have: set model.adaptive_weight to false, or train with ddp"
                )
            self.adversary = Adversary(
                self.make_discriminator(), self.make_discriminator_optimizer(),
                weight=self.adversarial_weight, adaptive=self.adaptive_weight,
                r1_weight=self.r1_weight,
            )  # fmt: skip
            # DDP would wait for gradients that its backward pass never meets.
            self._ddp_params_and_buffers_to_ignore = [
                f"adversary.{name}" for name in self.adversary.state_dict()
            ]

    def configure_model(self) -> None:
        fresh = not self.parts_built
        super().configure_model()
        if fresh:  # sharded weights are gathered for these as they are for a whole pass
            for part in (self.autoencoder, *(self.ema or {}).values()):
                for method in ("encode", "decode"):
                    register_fsdp_forward_method(part, method)

    def setup(self, stage: str) -> None:
        """Load what only measures, which no checkpoint holds."""
        precision = str(self.trainer.precision)
        if self.make_discriminator is not None and stage == "fit" and precision.startswith("16"):
            raise ValueError(
                f"a discriminator cannot be trained in {precision}, whose range its gradients "
                "leave: set trainer.precision to auto or bf16-mixed"
            )
        if self.make_perceptual is not None:
            self.perceptual = Detached(self.make_perceptual())
        self.scores = Scores(self.make_metrics)

    def trained_parts(self) -> dict[str, nn.Module]:
        return {"autoencoder": self.autoencoder}

    def train(self, mode: bool = True) -> AutoencoderTask:
        super().train(mode)
        if self.parts_built and self.adversary is not None:
            self.adversary.train(mode)
        return self

    # -- Training -------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        reference = pixels_of(batch)
        pixels, posterior = self.autoencoder(reference)
        terms = self.distances(pixels, reference)
        fidelity = terms["reconstruction"]
        if self.perceptual is not None:
            fidelity = fidelity + self.perceptual_weight * terms["perceptual"]
        terms["kl"] = posterior.kl(self.free_bits)
        loss = fidelity + self.kl_weight * terms["kl"]
        started = self.global_step >= self.adversarial_start
        # A plan has no trainer, and no device that a backward pass could run on.
        if self.adversary is not None and started and self._trainer is not None:
            adversarial, told = self.adversary.step(
                pixels, reference, fidelity, self.autoencoder.last_layer,
                share=1 / self.trainer.accumulate_grad_batches,
            )  # fmt: skip
            loss, terms = loss + adversarial, terms | told
        self.finish_step({"loss": loss, **terms}, len(batch))
        return loss

    def on_train_start(self) -> None:
        if self.adversary is not None:
            self.adversary.begin(self.lr_schedule())

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        step = self.global_step
        super().optimizer_step(*args, **kwargs)
        if self.adversary is not None and step >= self.adversarial_start:
            self.adversary.update(step, self.trainer)

    def distances(self, pixels: Tensor, reference: Tensor) -> dict[str, Tensor]:
        """How far reconstructions are from the originals, by name of the term: scalars."""
        terms = {"reconstruction": self.error(pixels.float(), reference)}
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(pixels, reference).mean()
        return terms

    def count_flops(self, batch: Batch) -> int:
        reference = pixels_of(batch)
        with counting() as counter, self.averaged() as parts, torch.no_grad():
            parts["autoencoder"](reference)
            trained = counter.get_total_flops()
            if self.perceptual is not None:
                self.perceptual(reference, reference)
            compared = counter.get_total_flops() - trained
            if self.adversary is not None:
                self.adversary.eval().discriminator(reference)
                self.adversary.train(self.training)
            judged = counter.get_total_flops() - compared - trained
        # Gradients pass through one of the two videos that are compared. Real clips and
        # reconstructions are judged and learned from, and then passed through to the pixels.
        return 3 * trained + 3 * compared // 2 + (2 * 3 + 2) * judged

    # -- Validation -----------------------------------------------------------------------------

    def logged(self) -> frozenset[str] | None:
        terms = ["loss", "reconstruction", "kl"]
        terms += ["perceptual"] if self.make_perceptual is not None else []
        judged = ADVERSARIAL if self.make_discriminator is not None else ()
        rates = ("encode_frames_per_second", "decode_frames_per_second")
        scores = score_names(self.make_metrics)
        if scores is None:
            return None
        train = {f"train/{name}" for name in (*terms, *judged)}
        return frozenset(train | {f"val/{name}" for name in (*terms, *rates, *scores)})

    def on_validation_epoch_start(self) -> None:
        self.scores.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Reconstruct from the likeliest latents; callbacks get ``reconstructions``."""
        return self.measure(batch, batch_idx, "val")

    def on_validation_epoch_end(self) -> None:
        self.log_measures("val")

    on_test_epoch_start = on_validation_epoch_start

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self.measure(batch, batch_idx, "test")

    def on_test_epoch_end(self) -> None:
        self.log_measures("test")

    def measure(self, batch: Batch, batch_idx: int, split: str) -> dict[str, Tensor]:
        """Log the terms of the loss, and at first the speed; update the metrics."""
        with self.averaged() as parts:
            autoencoder, pixels = parts["autoencoder"], pixels_of(batch)
            videos = reconstruct(autoencoder, pixels)
            rates = {} if batch_idx else frames_per_second(autoencoder, pixels)
        terms = self.distances(videos.pixels, videos.reference)
        terms["loss"] = terms["reconstruction"]
        if videos.posterior is not None:
            terms["kl"] = videos.posterior.kl(self.free_bits)
            terms["loss"] = terms["loss"] + self.kl_weight * terms["kl"]
        if self.perceptual is not None:
            terms["loss"] = terms["loss"] + self.perceptual_weight * terms["perceptual"]
        measured = {f"{split}/{name}": value for name, value in (terms | rates).items()}
        self.log_measured(measured, len(batch))
        self.scores.update(videos)
        return {"reconstructions": videos.pixels}

    def log_measures(self, split: str) -> None:
        """Log the scores of all processes."""
        scores = self.scores.compute(self.trainer.strategy.reduce)
        # They are the same in all processes; told that they are not, Lightning would warn.
        logged = {f"{split}/{name}": x.to(self.device).float() for name, x in scores.items()}
        self.log_dict(logged, sync_dist=True)

    # -- Checkpoints ----------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.adversary is not None:
            checkpoint["adversary"] = self.adversary.optimizer_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.adversary is not None:
            self.adversary.saved = checkpoint.get("adversary", {})


def pixels_of(batch: Batch) -> Tensor:
    """The clips of a batch: (b, 3, f, h, w).

    Raises:
        ValueError: if there are only latents.
    """
    if isinstance(batch, VideoBatch):
        return batch.pixels
    raise ValueError(
        "an autoencoder learns from pixels, and this dataset gives latents: set data.dataset to "
        "the one that was encoded"
    )
