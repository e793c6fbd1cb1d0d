"""Training an autoencoder on clips."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vidiff.autoencoders import Autoencoder, CausalKL, MakeAutoencoder
from vidiff.optimizers import AdamW, MakeOptimizer
from vidiff.training.base import Task, counting
from vidiff.types import VideoBatch


class AutoencoderTask(Task):
    """Learns to rebuild clips from few latents that stay close to a standard normal.

    Args:
        autoencoder: what is trained.
        reconstruction: absolute (``l1``) or squared (``l2``) error of pixels.
        kl_weight: weight of the divergence from the standard normal, in nats per latent value.
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

    def __init__(
        self,
        *,
        autoencoder: MakeAutoencoder = CausalKL,
        reconstruction: Literal["l1", "l2"] = "l1",
        kl_weight: float = 1e-4,
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
        if kl_weight < 0:
            raise ValueError(f"kl_weight must not be negative, got {kl_weight}")
        self.remember({k: v for k, v in locals().items() if k not in ("self", "__class__")})
        self.make_autoencoder, self.kl_weight = autoencoder, kl_weight
        self.error = F.l1_loss if reconstruction == "l1" else F.mse_loss

    def build_parts(self) -> None:
        self.autoencoder = self.make_autoencoder()

    def trained_parts(self) -> dict[str, nn.Module]:
        return {"autoencoder": self.autoencoder}

    def training_step(self, batch: VideoBatch, batch_idx: int) -> Tensor:
        posterior = self.autoencoder.posterior(batch.pixels)
        pixels = self.autoencoder.reconstruct(posterior.draw())
        error, kl = self.error(pixels.float(), batch.pixels), posterior.kl().mean()
        loss = error + self.kl_weight * kl
        self.finish_step({"loss": loss, "reconstruction": error, "kl": kl}, len(batch))
        return loss

    def count_flops(self, batch: VideoBatch) -> int:
        with counting() as counter, self.averaged() as parts, torch.no_grad():
            parts["autoencoder"].reconstruct(parts["autoencoder"].posterior(batch.pixels).mean)
        return 3 * counter.get_total_flops()

    def validation_step(self, batch: VideoBatch, batch_idx: int) -> None:
        """Reconstruct from the posterior's mean, with the averaged weights if there are any."""
        with self.averaged() as parts:
            posterior = parts["autoencoder"].posterior(batch.pixels)
            pixels = parts["autoencoder"].reconstruct(posterior.mean).float().clamp(-1, 1)
        error, kl = self.error(pixels, batch.pixels), posterior.kl().mean()
        logged = {
            "val/loss": error + self.kl_weight * kl,
            "val/reconstruction": error,
            "val/kl": kl,
            "val/psnr": psnr(pixels, batch.pixels).mean(),
        }
        self.log_dict(logged, batch_size=len(batch), sync_dist=True, on_epoch=True)

    test_step = validation_step


def psnr(pixels: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of videos (b, c, f, h, w) in [-1, 1], in dB: (b,)."""
    error = (pixels - reference).square().flatten(1).mean(1).clamp(min=1e-10)
    return 10 * torch.log10(4 / error)
