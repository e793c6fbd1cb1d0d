"""Diffusers' autoencoders under one interface: sizes, scale, and state from chunk to chunk.

``z`` are a model's own latents; pipelines scale them before diffusion and undo that before they
decode. Files named in comments are diffusers' pipelines that show how.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from vidiff.autoencoders.base import Past
from vidiff.types import Size


class Adapter(nn.Module):
    """One of diffusers' autoencoders under one interface.

    Args:
        shift: subtracted from ``z`` to normalise it: one number, or one per channel.
        scale: by which it is then multiplied.
        frame_step: frames come as 1 + k times this; ``compression[0]``, by default.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        model: Any,
        compression: Size,
        shift: float | Sequence[float] = 0.0,
        scale: float | Sequence[float] = 1.0,
        frame_step: int | None = None,
    ) -> None:
        super().__init__()
        self.model, self.compression = model, compression
        self.frame_step = frame_step or compression[0]
        for name, value in (("shift", shift), ("scale", scale)):
            values = torch.tensor(value, dtype=torch.float32).view(1, -1, 1, 1, 1)
            self.register_buffer(name, values, persistent=False)

    @property
    def latent_channels(self) -> int:
        """Channels of ``z``."""
        return self.model.config.latent_channels

    @property
    def pixel_channels(self) -> int:
        """Channels of what it encodes."""
        return self.model.config.in_channels

    def normalise(self, z: Tensor) -> Tensor:
        """A model's own latents to those for diffusion."""
        return (z - self.shift) * self.scale

    def denormalise(self, latents: Tensor) -> Tensor:
        """Latents for diffusion to a model's own."""
        return latents / self.scale + self.shift

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (b, 3, f, h, w) to means and log-variances of ``z``: (b, 2 c, f, h, w)."""
        return self.model.encode(pixels.to(self.model.dtype)).latent_dist.parameters

    def decode(self, z: Tensor) -> Tensor:
        """``z`` (b, c, f, h, w) to pixels (b, 3, f, h, w)."""
        return self.model.decode(z.to(self.model.dtype)).sample

    def encode_chunk(self, pixels: Tensor, past: Past) -> Tensor:
        """The next frames of a video, see ``Autoencoder.encode_chunk``."""
        raise self._whole("encode")

    def decode_chunk(self, z: Tensor, past: Past) -> Tensor:
        """The next frames of ``z``."""
        raise self._whole("decode")

    def denoise_from(self, timestep: float, noise_scale: float) -> None:
        """Set time and noise of a decoder's last step of diffusion; refused if it has none."""
        if timestep or noise_scale:
            raise ValueError(
                f"decode_timestep={timestep} and decode_noise_scale={noise_scale} are for decoders "
                f"with timestep_conditioning, which this {type(self.model).__name__} is not: "
                "leave them out"
            )

    def _whole(self, verb: str) -> ValueError:
        return ValueError(
            f"{type(self.model).__name__} needs the whole video at once: call {verb}, "
            "it keeps nothing of earlier frames"
        )


class Framewise(Adapter):
    """``AutoencoderKL``, for images: frames are the batch."""

    def __init__(self, model: Any) -> None:
        config = model.config
        # stable_diffusion_xl/pipeline_stable_diffusion_xl.py has means and deviations by channel,
        # stable_diffusion_3/pipeline_stable_diffusion_3_img2img.py one shift, others a factor.
        factor = config.scaling_factor
        if config.latents_mean and config.latents_std:
            shift, scale = config.latents_mean, [factor / std for std in config.latents_std]
        else:
            shift, scale = config.shift_factor or 0.0, factor
        folds = 2 ** (len(config.block_out_channels) - 1)
        super().__init__(model, (1, folds, folds), shift, scale)

    def encode(self, pixels: Tensor) -> Tensor:
        moments = super().encode(rearrange(pixels, "b c f h w -> (b f) c h w"))
        return rearrange(moments, "(b f) c h w -> b c f h w", b=len(pixels))

    def decode(self, z: Tensor) -> Tensor:
        pixels = super().decode(rearrange(z, "b c f h w -> (b f) c h w"))
        return rearrange(pixels, "(b f) c h w -> b c f h w", b=len(z))

    def encode_chunk(self, pixels: Tensor, past: Past) -> Tensor:
        return self.encode(pixels)

    def decode_chunk(self, z: Tensor, past: Past) -> Tensor:
        return self.decode(z)


class CogVideoX(Adapter):
    """``AutoencoderKLCogVideoX``: nine frames, then eight at a time.

    Its norms see all frames of a batch, so that chunks other than these would change the result.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        ct = int(config.temporal_compression_ratio)
        folds = 2 ** (len(config.block_out_channels) - 1)
        # Latent frames are decoded in pairs, the first with one more: 2 k of them would give 8 k
        # frames instead of 8 k - 3.
        step = ct * model.num_latent_frames_batch_size if ct > 1 else 1
        # cogvideo/pipeline_cogvideox_video2video.py, both ways. `invert_scale_latents` is for the
        # image that pipeline_cogvideox_image2video.py conditions on, never for what is denoised.
        super().__init__(model, (ct, folds, folds), 0.0, config.scaling_factor, step)


class Wan(Adapter):
    """``AutoencoderKLWan``: the first frame, then four frames at a time."""

    def __init__(self, model: Any) -> None:
        config = model.config
        ct = 2 ** sum(config.temperal_downsample)
        if ct > 4:
            raise ValueError(
                f"AutoencoderKLWan reads 4 frames at a time, so temperal_downsample "
                f"{list(config.temperal_downsample)} cannot hold more than two True"
            )
        patch_size = config.patch_size or 1
        folds = patch_size * 2 ** (len(config.dim_mult) - 1)
        scale = [1 / std for std in config.latents_std]
        # wan/pipeline_wan_video2video.py
        super().__init__(model, (ct, folds, folds), config.latents_mean, scale, frame_step=4)
        self.patch_size = patch_size

    @property
    def latent_channels(self) -> int:
        return self.model.config.z_dim

    @property
    def pixel_channels(self) -> int:
        return self.model.config.in_channels // self.patch_size**2

    def encode_chunk(self, pixels: Tensor, past: dict[Any, Any]) -> Tensor:
        from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

        cache = past.setdefault("cache", [None] * len(list(self.model.encoder.modules())))
        x = patchify(pixels.to(self.model.dtype), self.patch_size)
        first = x.shape[2] % self.frame_step
        pieces = [x[:, :, :first]] if first else []
        pieces += x[:, :, first:].split(self.frame_step, dim=2) if x.shape[2] > first else []
        moments = [self.model.encoder(p, feat_cache=cache, feat_idx=[0]) for p in pieces]
        return self.model.quant_conv(torch.cat(moments, dim=2))

    def decode_chunk(self, z: Tensor, past: dict[Any, Any]) -> Tensor:
        from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

        outputs = []
        for frame in self.model.post_quant_conv(z.to(self.model.dtype)).split(1, dim=2):
            first = "cache" not in past
            cache = past.setdefault("cache", [None] * len(list(self.model.decoder.modules())))
            outputs.append(
                self.model.decoder(frame, feat_cache=cache, feat_idx=[0], first_chunk=first)
            )
        return unpatchify(torch.cat(outputs, dim=2), self.patch_size).clamp(-1, 1)


class LTX(Adapter):
    """``AutoencoderKLLTXVideo``: its later decoders take the last step of diffusion themselves."""

    def __init__(self, model: Any) -> None:
        ct, folds = model.temporal_compression_ratio, model.spatial_compression_ratio
        super().__init__(model, (ct, folds, folds), scale=model.config.scaling_factor)
        self.timestep = self.noise_scale = 0.0
        self.draws = model.config.timestep_conditioning or any(model.config.decoder_inject_noise)

    def denoise_from(self, timestep: float, noise_scale: float) -> None:
        if not self.model.config.timestep_conditioning:
            super().denoise_from(timestep, noise_scale)
        self.timestep, self.noise_scale = timestep, noise_scale

    # ltx/pipeline_ltx_condition.py; means and deviations are among the weights.

    def normalise(self, z: Tensor) -> Tensor:
        mean, std = by_channel(self.model.latents_mean), by_channel(self.model.latents_std)
        return (z - mean) * self.scale / std

    def denormalise(self, latents: Tensor) -> Tensor:
        mean, std = by_channel(self.model.latents_mean), by_channel(self.model.latents_std)
        return latents * std / self.scale + mean

    def decode(self, z: Tensor) -> Tensor:
        if not self.draws:
            return super().decode(z)
        z, timestep = z.to(self.model.dtype), None
        with repeatable(z.device):
            if self.model.config.timestep_conditioning:
                z = z.lerp(torch.randn_like(z[:1]), self.noise_scale)
                timestep = z.new_full((len(z),), self.timestep)
            return self.model.decode(z, timestep).sample


class HunyuanVideo(Adapter):
    """``AutoencoderKLHunyuanVideo``: long videos in overlapping pieces of 16 frames, blended."""

    def __init__(self, model: Any) -> None:
        ct, folds = model.temporal_compression_ratio, model.spatial_compression_ratio
        # hunyuan_video/pipeline_hunyuan_video.py
        super().__init__(model, (ct, folds, folds), scale=model.config.scaling_factor)


ADAPTERS: dict[str, type[Any]] = {
    "AutoencoderKL": Framewise,
    "AutoencoderKLCogVideoX": CogVideoX,
    "AutoencoderKLHunyuanVideo": HunyuanVideo,
    "AutoencoderKLLTXVideo": LTX,
    "AutoencoderKLWan": Wan,
}
"""By the ``_class_name`` of a config."""


def by_channel(values: Tensor) -> Tensor:
    """(c,) to (1, c, 1, 1, 1)."""
    return values.view(1, -1, 1, 1, 1)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Draw the same numbers each time, and leave other draws as they are."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
