"""DiT, and SiT and Latte, whose weights are DiT's: as their published code names them."""

from __future__ import annotations

import math
import re

import torch
from einops import rearrange
from torch import Tensor

from vidiff.config_nodes import Node
from vidiff.denoisers.dit import SIZES
from vidiff.importers.base import Imported, Importer, Weights, node
from vidiff.positions import Factorised, SinCos
from vidiff.types import Grid

BLOCK = {
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.out",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
    "adaLN_modulation.1": "modulation",
}
"""Layers of a block: their name, and ours."""
MODEL = {
    "t_embedder.mlp.0": "time.first",
    "t_embedder.mlp.2": "time.last",
    "final_layer.adaLN_modulation.1": "last_norm.modulation",
}
"""Layers of the model that need no more than another name."""
LABELS = "y_embedder.embedding_table.weight"


class DiTImporter(Importer):
    """facebookresearch/DiT (Peebles & Xie 2023): class-conditional, on latents of an image VAE."""

    def read(self, weights: Weights, num_heads: int | None) -> Imported:
        left = dict(weights)
        patches = taken(left, "x_embedder.proj.weight")  # a convolution: (d, c, p, p)
        width, in_channels, patch_size, _ = patches.shape
        depth = count_blocks(left)
        found: Weights = {
            "denoiser.patchifier.to_tokens.weight": patches.flatten(1),
            "denoiser.patchifier.to_tokens.bias": taken(left, "x_embedder.proj.bias"),
        }
        names = MODEL | {
            f"blocks.{n}.{theirs}": f"blocks.{n}.{ours}"
            for n in range(depth) for theirs, ours in BLOCK.items()
        }  # fmt: skip
        for part in ("weight", "bias"):
            for theirs, ours in names.items():
                found[f"denoiser.{ours}.{part}"] = taken(left, f"{theirs}.{part}")
            rows = taken(left, f"final_layer.linear.{part}")
            rows = rearrange(rows, "(p q c) ... -> (c p q) ...", p=patch_size, q=patch_size)
            used = self.used_rows(rows, in_channels * patch_size**2)
            found[f"denoiser.patchifier.to_latents.{part}"] = used
        conditions = {}
        if LABELS in left:
            table = found["conditions.label.table.weight"] = taken(left, LABELS)
            sizes = {"num_classes": len(table) - 1, "text_dim": width}
            conditions["label"] = node("vidiff.conditions.Labels", **sizes)
        num_frames, height, across = self.check_positions(left, width)
        if left:
            raise ValueError(
                f"tensors that a {type(self).__name__.removesuffix('Importer')} does not have: "
                f"{', '.join(sorted(left)[:5])}{' …' if len(left) > 5 else ''}"
            )
        denoiser = node(
            "vidiff.denoisers.DiT",
            width=width,
            depth=depth,
            num_heads=num_heads or published_heads(width),
            mlp_ratio=len(found["denoiser.blocks.0.mlp.0.bias"]) / width,
            patchifier=node("vidiff.patchifiers.Frame", patch_size=patch_size),
            conditioning=node("vidiff.conditioning.AdaLNZero", project=False),
            **self.parts(),
        )
        arguments = {
            "denoiser": denoiser,
            "autoencoder": node("vidiff.autoencoders.Identity", latent_channels=in_channels),
            "conditions": conditions,
            **self.objective(learn_variance=len(used) > in_channels * patch_size**2),
        }
        return Imported(arguments, found, (num_frames, height * patch_size, across * patch_size))

    def objective(self, learn_variance: bool) -> Node:
        """What it was trained for: the task's arguments but for the parts of the model."""
        return {
            "schedule": node("vidiff.diffusion.schedules.LinearBeta"),
            "prediction": node("vidiff.diffusion.predictions.Epsilon"),
            "time_sampler": node("vidiff.diffusion.time_samplers.Uniform", num_steps=1000),
            "learn_variance": learn_variance,
            "sampler": node("vidiff.samplers.DDPM", num_steps=250),
            "guidance": node("vidiff.guidance.ClassifierFree", scale=4.0, channels=3),
            "ema_decay": 0.0,
        }

    def parts(self) -> Node:
        """Positions and attention."""
        # The fixed table over height and width, in which the width comes first.
        positions = node("vidiff.positions.SinCos", shares=[0.0, 1.0, 1.0], order="fwh")
        return {"positions": positions, "attention": node("vidiff.attention.Full")}

    def check_positions(self, left: Weights, width: int) -> Grid:
        """Take the tables of positions, which must be the formulas'; return the grid of tokens."""
        table = taken(left, "pos_embed")
        side = math.isqrt(table.shape[1])
        positions = SinCos(width=width, shares=(0.0, 1.0, 1.0), order="fwh")
        check_table("pos_embed", table, positions.table((1, side, side), torch.device("cpu")))
        return 1, side, side

    def used_rows(self, rows: Tensor, num_predicted: int) -> Tensor:
        """The rows of the last layer that are used: all, with those of a learned variance."""
        return rows


class SiTImporter(DiTImporter):
    """willisma/SiT (Ma et al. 2024): linear interpolant, velocity.

    Its time runs from noise at 0 to data at 1.
    """

    def objective(self, learn_variance: bool) -> Node:
        return {
            "schedule": node("vidiff.diffusion.schedules.Rectified", network_times=[1.0, 0.0]),
            "prediction": node("vidiff.diffusion.predictions.Flow", towards="sample"),
            "time_sampler": node("vidiff.diffusion.time_samplers.Uniform"),
            "learn_variance": False,
            "sampler": node("vidiff.samplers.Heun", num_steps=125),
            "guidance": node("vidiff.guidance.ClassifierFree", scale=4.0, channels=3),
            "ema_decay": 0.0,
        }

    def used_rows(self, rows: Tensor, num_predicted: int) -> Tensor:
        """The second half is computed by the published code, and thrown away."""
        return rows[:num_predicted]


class LatteImporter(DiTImporter):
    """Vchitect/Latte (Ma et al. 2024), variant 1, without text: DiT's weights, over video."""

    def read(self, weights: Weights, num_heads: int | None) -> Imported:
        if text := [name for name in weights if name.startswith("text_embedding_projection")]:
            raise ValueError(
                f"{text[0]}: Latte with text is not imported, only the unconditional and the "
                "class-conditional models"
            )
        return super().read(weights, num_heads)

    def objective(self, learn_variance: bool) -> Node:
        guidance = node("vidiff.guidance.ClassifierFree", scale=7.0, channels=4)
        return super().objective(learn_variance) | {"guidance": guidance}

    def parts(self) -> Node:
        return {
            "positions": node("vidiff.positions.Factorised"),
            "attention": node("vidiff.attention.Alternating"),
        }

    def check_positions(self, left: Weights, width: int) -> Grid:
        _, side, _ = super().check_positions(left, width)
        table = taken(left, "temp_embed")
        grid = (table.shape[1], 1, 1)
        positions = Factorised(width=width)
        zeros = torch.zeros(1, table.shape[1], width)
        check_table("temp_embed", table, positions.add_before_block(1, zeros, grid)[0])
        return table.shape[1], side, side


def taken(left: Weights, name: str) -> Tensor:
    """Remove and return one tensor, as float32; a ``ValueError`` if there is none of this name."""
    if name not in left:
        raise ValueError(f"there is no tensor {name!r}; is it another model's file? (--from)")
    return left.pop(name).float()


def count_blocks(weights: Weights) -> int:
    """Number of blocks; a ``ValueError`` if there is none."""
    found = [re.match(r"blocks\.(\d+)\.", name) for name in weights]
    numbers = [int(match[1]) for match in found if match]
    if not numbers:
        raise ValueError("there is no tensor blocks.0.…: these are not the weights of a DiT")
    return max(numbers) + 1


def published_heads(width: int) -> int:
    """Heads of the published models of a width (Peebles & Xie 2023, table 1), if there are any."""
    heads = {size[0]: size[2] for size in SIZES.values()}
    if width not in heads:
        raise ValueError(
            f"no published model is {width} wide ({', '.join(map(str, heads))} are): "
            "say how many attention heads it has (--num-heads)"
        )
    return heads[width]


def check_table(name: str, table: Tensor, formula: Tensor) -> None:
    """Raise a ``ValueError`` if a table of positions is not the fixed one."""
    if table.shape[1:] != formula.shape or not torch.allclose(table[0], formula, atol=1e-3):
        raise ValueError(
            f"{name} {list(table.shape)} is not the published table of sines and cosines, which "
            "is all that can be imported"
        )
