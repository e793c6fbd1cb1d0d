"""What does a trained autoencoder do to each file, in tiles, and in chunks?

    python experiments/autoencoders/inspect_clips.py CHECKPOINT FOLDER

Takes the middle of the held-out stretch of each file, as clips.yaml holds it out, and prints its
PSNR at 64 x 64. At 128 x 128 it prints how far pixels from tiles of 8 x 8 latents are from those of
whole decoding, in grey levels of 255, and how far chunks are from the whole.
"""

from __future__ import annotations

import argparse

import torch

import vidiff
from vidiff.autoencoders import Autoencoder, in_chunks
from vidiff.autoencoders.tiling import seam_error
from vidiff.data import VideoFolder
from vidiff.reconstruction import PSNR, Reconstruction
from vidiff.training import AutoencoderTask

TILE = 8
GREY_LEVELS = 127.5


def held_out(folder: str, size: int) -> VideoFolder:
    """The middle of the last two fifths of each file."""
    return VideoFolder(
        split="val", root=folder, num_frames=17, height=size, width=size, start="center",
        val_fraction=0.4, hold_out="stretches",
    )  # fmt: skip


def print_psnr(autoencoder: Autoencoder, clips: VideoFolder) -> None:
    """One line for each file; a file that is too short has another in its place."""
    for sample in clips:
        pixels = sample.pixels[None]
        rebuilt = autoencoder(pixels)[0].clamp(-1, 1)
        score = PSNR().score(Reconstruction(rebuilt, pixels, autoencoder.encode(pixels)))
        print(f"{sample.id:<24} {float(score):5.2f} dB")


def print_seams(autoencoder: Autoencoder, clips: VideoFolder) -> None:
    """Means over files, and the largest difference in any."""
    latents = [autoencoder.encode(sample.pixels[None]) for sample in clips]
    for overlap in (0, TILE // 4):
        errors = [seam_error(autoencoder, z, tile=TILE, overlap=overlap) for z in latents]
        mean = sum(e.mean_at_seams for e in errors) / len(errors) * GREY_LEVELS
        largest = max(e.max_at_seams for e in errors) * GREY_LEVELS
        print(f"tiles, overlap {overlap}: at seams {mean:.2f} on average, at most {largest:.0f}")


def print_chunks(autoencoder: Autoencoder, pixels: torch.Tensor) -> None:
    """Largest differences between a clip in chunks and the whole clip."""
    step, latents = autoencoder.compression[0], autoencoder.encode(pixels)
    encoded = torch.cat(list(autoencoder.encode_chunks(in_chunks(pixels, 1 + step, step))), dim=2)
    decoded = torch.cat(list(autoencoder.decode_chunks(in_chunks(latents, 1, 1))), dim=2)
    print(f"chunks: latents differ by {(encoded - latents).abs().max():.1g} at most,")
    print(f"        pixels by {(decoded - autoencoder.decode(latents)).abs().max():.1g}")


@torch.no_grad()
def main() -> None:
    """Read the checkpoint and print all three."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("folder")
    args = parser.parse_args()
    task = vidiff.load(args.checkpoint)
    if not isinstance(task, AutoencoderTask):
        raise SystemExit(f"{args.checkpoint} holds a {type(task).__name__}, not an autoencoder")
    print_psnr(task.autoencoder, held_out(args.folder, 64))
    large = held_out(args.folder, 128)
    print_seams(task.autoencoder, large)
    print_chunks(task.autoencoder, large[0].pixels[None])


if __name__ == "__main__":
    main()
