"""Whether latents are what diffusion expects."""

from __future__ import annotations

from torch import Tensor

from vidiff.reconstruction.base import Reconstruction, ReconstructionMetric, Sums, widest
from vidiff.registry import register


@register("latents")
class Latents(ReconstructionMetric):
    """Mean and standard deviation of the latents that diffusion sees; 0 and 1 are wished for.

    ``latent_mean`` and ``latent_std`` are over all values. Channels may each be off where these
    are not: ``latent_mean_worst`` is the mean of the channel whose mean is farthest from zero,
    ``latent_std_min`` and ``latent_std_max`` are the channels' smallest and largest deviation.
    """

    score_names = (
        "latent_mean", "latent_mean_worst", "latent_std", "latent_std_min", "latent_std_max",
    )  # fmt: skip

    def measure(self, videos: Reconstruction) -> Sums:
        latents = videos.latents.to(widest(videos.latents.device)).transpose(0, 1).flatten(1)
        return {
            "sum": latents.sum(1),
            "square": latents.square().sum(1),
            "num_values": latents.new_full((), latents.shape[1]),
        }

    def summarise(self, sums: Sums) -> dict[str, Tensor]:
        mean, square = (sums[name] / sums["num_values"] for name in ("sum", "square"))
        std = (square - mean.square()).clamp(min=0).sqrt()
        total = mean.mean()
        return {
            "latent_mean": total,
            "latent_std": (square.mean() - total.square()).clamp(min=0).sqrt(),
            "latent_mean_worst": mean[mean.abs().argmax()],
            "latent_std_min": std.min(),
            "latent_std_max": std.max(),
        }
