"""The autoencoder that an imported model was trained with."""

from __future__ import annotations

from dataclasses import replace

from vidiff.autoencoders import Pretrained
from vidiff.importers.base import Imported
from vidiff.importers.dit import node


def with_autoencoder(imported: Imported, folder: str) -> Imported:
    """Give an imported model a published autoencoder, so that it makes videos.

    Args:
        imported: a model of latents.
        folder: see ``Pretrained``.

    Raises:
        ValueError: if the folder cannot be read, or its latents have other channels than the
            model's.
    """
    autoencoder = Pretrained(folder=folder)
    channels = imported.arguments["autoencoder"]["init_args"]["latent_channels"]
    if autoencoder.latent_channels != channels:
        raise ValueError(
            f"the autoencoder in {folder} has latents of {autoencoder.latent_channels} channels, "
            f"and the model was trained on {channels}: give the autoencoder that it was trained "
            "with (--autoencoder)"
        )
    frames, height, width = imported.clip_size
    ct, ch, cw = autoencoder.compression
    return replace(
        imported,
        arguments=imported.arguments
        | {"autoencoder": node("vidiff.autoencoders.Pretrained", folder=folder)},
        clip_size=(1 + (frames - 1) * ct, height * ch, width * cw),
    )
