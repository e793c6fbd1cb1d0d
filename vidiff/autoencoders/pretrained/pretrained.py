"""A published autoencoder, from a folder that diffusers saved."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vidiff.autoencoders.base import Autoencoder, Gaussian, Past, check_frames
from vidiff.autoencoders.pretrained.adapters import ADAPTERS, Adapter
from vidiff.autoencoders.pretrained.folder import build_empty, read_folder
from vidiff.checks import within
from vidiff.config_nodes import Node, describe
from vidiff.registry import class_path, register
from vidiff.types import Size


@register("pretrained")
class Pretrained(Autoencoder):
    """Reads an autoencoder that diffusers saved in a local folder, and leaves it as it is.

    ``AutoencoderKL`` (of Stable Diffusion and others, frame by frame) or that of CogVideoX, Wan,
    LTX-Video or HunyuanVideo. Latents are the likeliest ones, normalised as the model's own
    pipeline does it. A checkpoint names the folder and a hash of its content, and does not hold
    the weights.

    Args:
        folder: holds ``config.json`` and the weights; or is a whole pipeline's, with such a folder
            named ``vae``.
        config: the content of ``config.json``, in place of a folder; the weights are then NaN,
            which is enough for ``vidiff plan``.
        decode_timestep: time in [0, 1] for LTX-Video's decoders that take the last step of
            diffusion themselves; 0.05 in published examples.
        decode_noise_scale: share of noise that is mixed into the latents before that step, in
            [0, 1]; ``decode_timestep``, if it is None. The noise is the same each time.

    Raises:
        ValueError: if there is not one of folder and config, a file is missing or does not fit, or
            diffusers is not installed.
    """

    frozen = True

    def __init__(
        self,
        *,
        folder: str = "",
        config: dict[str, Any] | None = None,
        decode_timestep: float = 0.0,
        decode_noise_scale: float | None = None,
    ) -> None:
        super().__init__()
        if bool(folder) == bool(config):
            raise ValueError(
                f"pretrained needs a folder (or the config of one), got {folder=}, {config=}"
            )
        noise_scale = decode_timestep if decode_noise_scale is None else decode_noise_scale
        within(0, 1, decode_timestep=decode_timestep, decode_noise_scale=noise_scale)
        model = build_empty(config) if config else read_folder(folder)
        name = type(model).__name__
        self.adapter: Adapter = ADAPTERS[name](model)
        self.adapter.denoise_from(decode_timestep, noise_scale)
        self.latent_channels = self.adapter.latent_channels
        self.compression = self.adapter.compression
        if self.adapter.pixel_channels != 3:
            raise ValueError(
                f"{folder or name} encodes {self.adapter.pixel_channels} channels, and videos have "
                "3: give an autoencoder of RGB"
            )
        kept = {key: value for key, value in model.config.items() if not key.startswith("_")}
        self.node: Node = {
            "class_path": class_path(type(self)),
            "init_args": {
                "config": {"_class_name": name, **describe(kept)},
                "decode_timestep": decode_timestep,
                "decode_noise_scale": decode_noise_scale,
            },
        }
        self.requires_grad_(False).eval()

    def encode(self, pixels: Tensor) -> Tensor:
        return self.adapter.normalise(self.posterior(pixels).mode)

    def decode(self, latents: Tensor) -> Tensor:
        self.check_latents(latents)
        need = f"frames of latents do not fit {self._name}, which decodes"
        check_frames(latents.shape[2], self.adapter.frame_step // self.compression[0], need)
        return self.reconstruct(self.adapter.denormalise(latents))

    def posterior(self, pixels: Tensor) -> Gaussian:
        self.check(pixels)
        return Gaussian.of(self.adapter.encode(pixels))

    def reconstruct(self, latents: Tensor) -> Tensor:
        return self.adapter.decode(latents)

    def encode_chunk(self, pixels: Tensor, past: Past) -> Tensor:
        self.check(pixels, past)
        return self.adapter.normalise(Gaussian.of(self.adapter.encode_chunk(pixels, past)).mode)

    def decode_chunk(self, latents: Tensor, past: Past) -> Tensor:
        self.check_latents(latents)
        return self.adapter.decode_chunk(self.adapter.denormalise(latents), past)

    def latent_size(self, frames: int, height: int, width: int) -> Size:
        need = f"frames do not fit {self._name}, which needs"
        check_frames(frames, self.adapter.frame_step, need)
        return super().latent_size(frames, height, width)

    @property
    def _name(self) -> str:
        return type(self.adapter.model).__name__
