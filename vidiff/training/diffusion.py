"""Training a denoiser on latents under text."""

from __future__ import annotations

import copy
import functools
import math
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn import functional as F

from vidiff.autoencoders import Autoencoder, Identity, MakeAutoencoder
from vidiff.building import Node, build
from vidiff.checkpoints import Checkpoint
from vidiff.checks import at_least
from vidiff.data import LatentCache, Split
from vidiff.denoisers import Denoiser, DiT, MakeDenoiser, compile_blocks
from vidiff.diffusion import Objective
from vidiff.diffusion.loss_weights import Constant, MakeLossWeight
from vidiff.diffusion.predictions import Flow, MakePrediction
from vidiff.diffusion.schedules import MakeSchedule, Rectified
from vidiff.diffusion.time_samplers import LogitNormal, MakeTimeSampler
from vidiff.fingerprints import weights_hash
from vidiff.generation import clip_seed, conditioned, generate
from vidiff.optimizers import MakeOptimizer, MuonAdamW
from vidiff.samplers import ClassifierFree, Euler, Guidance, MakeGuidance, MakeSampler, Sampler
from vidiff.text import Labels, MakeTextEncoder, TextEncoder, Words
from vidiff.training.base import Task, counting
from vidiff.training.data import VideoDataModule
from vidiff.types import Batch, Grid, LatentBatch, TextFeatures

NUM_BINS = 4
"""Held-out loss is logged for this many equal ranges of diffusion time."""


@dataclass
class PromptBatch:
    """Prompts to sample together.

    Attributes:
        prompts: b strings.
        indices: their places in the whole list.
        settings: further arguments of ``DiffusionTask.sample``.
        exact: leave mixed precision off, see ``VidiffTrainer.sample``.
    """

    prompts: list[str]
    indices: list[int]
    settings: dict[str, Any]
    exact: bool = True

    def __len__(self) -> int:
        return len(self.prompts)


class DiffusionTask(Task):
    """Learns to turn noise into latents of captioned clips, and makes videos from prompts.

    Args:
        denoiser: the network.
        autoencoder: pixels to latents and back; stays as it is.
        text_encoder: prompts to features, trained along unless it is frozen; none for a model
            without text.
        schedule: how noise is added.
        prediction: what the network predicts.
        time_sampler: which diffusion times are trained on.
        loss_weight: how much each time's error counts.
        learn_variance: let the denoiser say in as many channels again how uncertain a step of
            ancestral sampling is (Nichol & Dhariwal 2021); needs a schedule with discrete steps.
        sampler: walks from noise to latents.
        guidance: how strongly prompts are followed.
        optimizer: which rule updates which parameter.
        warmup_steps: steps over which the learning rate rises linearly from zero.
        decay_fraction: last share of all steps, over which it falls linearly.
        final_lr_fraction: where it falls to, over its peak.
        ema_decay: of the moving average of the weights, which sampling and validation use.
        caption_dropout: share of captions that are left empty, which guidance needs.
        compile_denoiser: let ``torch.compile`` speed up the denoiser's blocks, each by itself.

    Raises:
        ValueError: if a number is out of its range.
    """

    denoiser: Denoiser
    autoencoder: Autoencoder
    text_encoder: TextEncoder | None
    objective: Objective
    sampler: Sampler
    guidance: Guidance

    def __init__(
        self,
        *,
        denoiser: MakeDenoiser = DiT,
        autoencoder: MakeAutoencoder = Identity,
        text_encoder: MakeTextEncoder | None = Words,
        schedule: MakeSchedule = Rectified,
        prediction: MakePrediction = Flow,
        time_sampler: MakeTimeSampler = LogitNormal,
        loss_weight: MakeLossWeight = Constant,
        learn_variance: bool = False,
        sampler: MakeSampler = Euler,
        guidance: MakeGuidance = ClassifierFree,
        optimizer: MakeOptimizer = MuonAdamW,
        warmup_steps: int = 50,
        decay_fraction: float = 0.4,
        final_lr_fraction: float = 0.02,
        ema_decay: float = 0.998,
        caption_dropout: float = 0.1,
        compile_denoiser: bool = False,
    ) -> None:
        super().__init__(
            optimizer=optimizer, warmup_steps=warmup_steps, decay_fraction=decay_fraction,
            final_lr_fraction=final_lr_fraction, ema_decay=ema_decay,
        )  # fmt: skip
        if not 0 <= caption_dropout <= 1:
            raise ValueError(f"caption_dropout must be within [0, 1], got {caption_dropout}")
        self.remember({k: v for k, v in locals().items() if k not in ("self", "__class__")})
        self.make_denoiser, self.make_autoencoder = denoiser, autoencoder
        self.make_text_encoder = text_encoder
        self.make_schedule, self.make_prediction = schedule, prediction
        self.make_time_sampler, self.make_loss_weight = time_sampler, loss_weight
        self.make_sampler, self.make_guidance = sampler, guidance
        self.learn_variance = learn_variance
        self.caption_dropout, self.compile_denoiser = caption_dropout, compile_denoiser
        self.clip_size: Grid | None = None
        self.autoencoder_node: Node = self.hparams["autoencoder"]

    def build_encoders(self) -> None:
        """Build what stands before the denoiser: all that encoding a dataset needs."""
        autoencoder = self.make_autoencoder()
        if node := getattr(autoencoder, "node", None):  # its weights become this task's own
            self.autoencoder_node = node
            autoencoder = getattr(autoencoder, "inner", autoencoder)
        self.autoencoder = autoencoder.requires_grad_(False)
        self.text_encoder = self.make_text_encoder() if self.make_text_encoder else None
        if self.text_encoder is not None and self.text_encoder.frozen:
            self.text_encoder.requires_grad_(False)

    def build_parts(self) -> None:
        self.build_encoders()
        channels = self.autoencoder.latent_channels
        self.denoiser = self.make_denoiser(
            in_channels=channels,
            out_channels=2 * channels if self.learn_variance else channels,
            text_dim=self.text_encoder.text_dim if self.text_encoder else 0,
        )
        self.objective = Objective(
            self.make_schedule(), self.make_prediction(),
            self.make_time_sampler(), self.make_loss_weight(), self.learn_variance,
        )  # fmt: skip
        self.sampler, self.guidance = self.make_sampler(), self.make_guidance()
        self.sampler.check(self.objective.schedule)

    def trained_parts(self) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"denoiser": self.denoiser}
        if self.text_encoder is not None and not self.text_encoder.frozen:
            parts["text_encoder"] = self.text_encoder
        return parts

    def configure_model(self) -> None:
        fresh = not self.parts_built
        super().configure_model()
        if fresh and self.compile_denoiser:
            compile_blocks(self.denoiser)
            if self.ema is not None:  # it validates and samples
                average = self.ema["denoiser"]
                assert isinstance(average, Denoiser)
                compile_blocks(average)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.clip_size = max(self.clip_size or batch.size, batch.size, key=math.prod)
        latents = self.latents_of(batch)
        text = self.text_of(self.text_encoder, batch, self.drop(batch.captions))
        loss = self.objective.loss(conditioned(self.denoiser, text), latents)
        weighted = loss.weighted.mean()
        self.finish_step({"loss": weighted, "mse": loss.unweighted.mean()}, len(batch))
        return weighted

    def count_flops(self, batch: Batch) -> int:
        with counting() as counter, self.averaged() as parts, torch.no_grad():
            latents = self.latents_of(batch)
            frozen = counter.get_total_flops()
            text = self.text_of(parts.get("text_encoder", self.text_encoder), batch)
            if "text_encoder" not in parts:
                frozen = counter.get_total_flops()
            conditioned(parts["denoiser"], text)(latents, latents.new_zeros(len(batch)))
        return frozen + 3 * (counter.get_total_flops() - frozen)

    def tokens_per_clip(self, batch: Batch) -> int:
        patchifier = getattr(self.denoiser, "patchifier", None)
        if patchifier is None:
            return 0
        return math.prod(patchifier.grid(*self.autoencoder.latent_size(*batch.size)))

    def unknown_words(self, prompts: Sequence[str]) -> list[str]:
        """Words of prompts that training never met, if the text encoder can tell."""
        with self.averaged() as parts:
            tell = getattr(parts.get("text_encoder", self.text_encoder), "unknown_words", None)
            return tell(prompts) if tell else []

    def predict_step(self, batch: PromptBatch, batch_idx: int) -> Tensor:
        """Sample the prompts of a batch."""
        mixed = (
            nullcontext() if not batch.exact else torch.autocast(self.device.type, enabled=False)
        )
        with mixed:
            return self.sample(batch.prompts, indices=batch.indices, **batch.settings)

    def drop(self, captions: Sequence[str]) -> list[str]:
        """Captions, some of them left empty."""
        draws = torch.rand(len(captions)).tolist()
        return ["" if u < self.caption_dropout else c for c, u in zip(captions, draws, strict=True)]

    @torch.no_grad()
    def latents_of(self, batch: Batch) -> Tensor:
        """The latents of a batch: (b, c, f, h, w)."""
        if isinstance(batch, LatentBatch):
            return batch.latents
        return self.autoencoder.encode(batch.pixels)

    def text_of(
        self,
        text_encoder: nn.Module | None,
        batch: Batch,
        captions: Sequence[str] | None = None,
    ) -> TextFeatures | None:
        """Features of a batch's captions, or of ``captions``, which are the same or empty."""
        captions = batch.captions if captions is None else captions
        cached = batch.text if isinstance(batch, LatentBatch) else None
        if cached is None or text_encoder is None or not text_encoder.frozen:
            return self.read(text_encoder, captions)
        assert isinstance(batch, LatentBatch)
        assert batch.empty is not None
        return with_empty(cached, batch.empty, [caption == "" for caption in captions])

    # -- Latents that were encoded before ---------------------------------------------------------

    def on_fit_start(self) -> None:
        self.check_cache("train")

    def on_validation_start(self) -> None:
        if self.trainer.state.fn != TrainerFn.FITTING:
            self.check_cache("val")

    def on_test_start(self) -> None:
        self.check_cache("test")

    def encoder_hashes(self) -> tuple[str, str | None]:
        """Hashes of the autoencoder and, if there is a frozen one, of the text encoder."""
        autoencoder = weights_hash(self.autoencoder, self.autoencoder_node)
        if self.text_encoder is None or not self.text_encoder.frozen:
            return autoencoder, None
        return autoencoder, weights_hash(self.text_encoder, self.hparams["text_encoder"])

    def check_cache(self, split: Split) -> None:
        """Refuse latents and text features that other encoders than this task's made.

        Raises:
            ValueError: if the split is a latent cache, and of another.
        """
        data = getattr(self.trainer, "datamodule", None)
        dataset = data.dataset(split) if isinstance(data, VideoDataModule) else None
        if not isinstance(dataset, LatentCache):
            return
        index = dataset.index
        autoencoder, text_encoder = self.encoder_hashes()
        for name, ours, held in (
            ("autoencoder", autoencoder, index.autoencoder),
            ("text encoder", text_encoder, index.text_encoder),
        ):
            # Where either is None, captions are read in training.
            if ours is not None and held is not None and ours != held:
                raise ValueError(
                    f"{dataset.root} was encoded with another {name} than this task has (hash "
                    f"{held[:12]}, here {ours[:12]}): encode again with this config into another "
                    f"folder, or set model.{name.replace(' ', '_')} to the one that it was made "
                    "with; trainer.precision 'bf16-true' and '16-true' change weights too"
                )

    def read(self, text_encoder: nn.Module | None, prompts: Sequence[str]) -> TextFeatures | None:
        """Features of prompts; without a gradient if the encoder is frozen."""
        if text_encoder is None:
            return None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not text_encoder.frozen):
            return text_encoder(prompts)

    def logged(self) -> frozenset[str] | None:
        bins = [_bin_name("val", k) for k in range(NUM_BINS)]
        return frozenset(["train/loss", "train/mse", "val/loss", *bins])

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
        with self.averaged() as parts:
            text = self.text_of(parts.get("text_encoder", self.text_encoder), batch)
            network = conditioned(parts["denoiser"], text)
            losses = [
                self.objective.loss(network, latents, (k + u) / NUM_BINS, noise).unweighted.mean()
                for k in range(NUM_BINS)
            ]
        logged = {_bin_name(split, k): x for k, x in enumerate(losses)}
        logged[f"{split}/loss"] = torch.stack(losses).mean()
        # Lightning averages batch sizes over processes in integers: made to divide, they are exact.
        weight = len(batch) * self.trainer.world_size
        self.log_dict(logged, batch_size=weight, sync_dist=True, on_epoch=True)

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        indices: Sequence[int] | None = None,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        batch_size: int | None = None,
        num_steps: int | None = None,
        guidance_scale: float | None = None,
        decode: bool = True,
        decode_tile: int | None = None,
        decode_frames: int | None = None,
    ) -> Tensor:
        """Make one video per prompt, with the averaged weights.

        Args:
            prompts: b prompts.
            seed: with the place of a prompt in the list, decides its video's noise.
            indices: places of the prompts in a longer list that they are part of.
            num_frames: frames; those of the largest training clips, by default.
            height: in pixels; that of the largest training clips, by default.
            width: in pixels; that of the largest training clips, by default.
            batch_size: prompts at a time; all at once, by default.
            num_steps: steps of the sampler, instead of the task's own.
            guidance_scale: scale of the guidance, instead of the task's own.
            decode: False gives latents, as the denoiser made them.
            decode_tile: decode in tiles of so many latents' height and width, see ``generate``.
            decode_frames: decode so many frames of latents at a time, see ``generate``.

        Returns:
            Pixels (b, 3, f, h, w) within [-1, 1]; or latents (b, c, f, h, w).

        Raises:
            ValueError: if there is no prompt, no size is known or it does not fit, or the model has
                no autoencoder that could decode.
        """
        if isinstance(prompts, str) or not prompts:
            raise ValueError(f"prompts must be a list of at least one prompt, got {prompts!r}")
        at_least(1, batch_size=batch_size, num_steps=num_steps)
        self.configure_model()
        size = self.video_size(num_frames, height, width)
        sampler = replaced(self.sampler, "num_steps", num_steps)
        guidance = replaced(self.guidance, "scale", guidance_scale)
        indices = range(len(prompts)) if indices is None else indices
        seeds = [clip_seed(seed, index) for index in indices]
        step = len(prompts) if batch_size is None else batch_size
        with self.averaged() as parts:
            videos = [
                generate(
                    denoiser=parts["denoiser"],
                    text_encoder=parts.get("text_encoder", self.text_encoder),
                    autoencoder=self.autoencoder, objective=self.objective,
                    sampler=sampler, guidance=guidance, size=size,
                    prompts=prompts[i : i + step], seeds=seeds[i : i + step], decode=decode,
                    decode_tile=decode_tile, decode_frames=decode_frames,
                )
                for i in range(0, len(prompts), step)
            ]  # fmt: skip
        return torch.cat(videos)

    @torch.no_grad()
    def denoise(
        self,
        latents: Tensor,
        t: Tensor,
        labels: Tensor | Sequence[int] | None = None,
        prompts: Sequence[str] | None = None,
    ) -> Tensor:
        """What the denoiser itself says, with the averaged weights if there are any.

        Args:
            latents: (b, c, f, h, w), noisy.
            t: (b,), in the units that the denoiser was trained with (``Schedule.network_time``).
            labels: b numbers of classes, for a model with the text encoder ``labels``.
            prompts: b prompts; empty ones if neither these nor labels are given.

        Returns:
            (b, c, f, h, w), with twice the channels where the variance is learned.

        Raises:
            ValueError: if both labels and prompts are given, or the model takes none.
        """
        self.configure_model()
        if labels is not None and prompts is not None:
            raise ValueError("give labels or prompts, not both")
        with self.averaged() as parts:
            encoder = parts.get("text_encoder", self.text_encoder)
            if labels is not None:
                if not isinstance(encoder, Labels):
                    raise ValueError(
                        f"labels need a model with the text encoder 'labels', this one has "
                        f"{type(encoder).__name__}; give prompts"
                    )
                text: TextFeatures | None = encoder.embed(torch.as_tensor(labels))
            elif prompts is not None and encoder is None:
                raise ValueError("this model was trained without text: give no prompts")
            else:
                text = self.read(encoder, prompts or [""] * len(latents))
            return conditioned(parts["denoiser"], text)(latents, t)

    def video_size(self, num_frames: int | None, height: int | None, width: int | None) -> Grid:
        """Frames, height and width to sample at: those asked for, else the training clips'."""
        at_least(1, num_frames=num_frames, height=height, width=width)
        asked = (num_frames, height, width)
        known = self.clip_size or (0, 0, 0)
        f, h, w = (k if n is None else n for n, k in zip(asked, known, strict=True))
        size = (f, h, w)
        if min(size) < 1:
            raise ValueError(
                f"size (num_frames, height, width) must be known, got {size}: this task has seen "
                "no clip, so give all three"
            )
        return size

    def adopt(self, checkpoint: Checkpoint) -> None:
        """Before parts are built: take the autoencoder from a checkpoint instead of its own file.

        Raises:
            ValueError: if parts are built already.
        """
        if self.parts_built:
            raise ValueError("adopt a checkpoint before configure_model() builds the parts")
        if node := checkpoint.get("autoencoder"):
            self.autoencoder_node = node
            rebuild = functools.partial(build, node, Autoencoder)  # type: ignore[type-abstract]
            self.make_autoencoder = rebuild

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["autoencoder"] = self.autoencoder_node
        checkpoint["clip_size"] = list(self.clip_size) if self.clip_size else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        size = checkpoint.get("clip_size")
        self.clip_size = (size[0], size[1], size[2]) if size else None


def held_out_draws(ids: Sequence[str], latents: Tensor) -> tuple[Tensor, Tensor]:
    """Noise like ``latents`` and u (b,) in [0, 1): the same for a clip whenever it is met."""
    generators = [torch.Generator().manual_seed(zlib.crc32(clip.encode())) for clip in ids]
    u = torch.cat([torch.rand(1, generator=g) for g in generators])
    noise = torch.stack([torch.randn(latents.shape[1:], generator=g) for g in generators])
    return noise.to(latents), u.to(latents.device)


def with_empty(text: TextFeatures, empty: TextFeatures, drop: Sequence[bool]) -> TextFeatures:
    """Features of b captions with those of the empty one (b = 1) in their place where dropped."""
    longest = max(text.mask.shape[1], empty.mask.shape[1])
    dropped = torch.tensor(drop).to(text.mask.device, non_blocking=True)

    def pick(kept: Tensor, other: Tensor) -> Tensor:
        where = dropped.view(-1, *[1] * (kept.ndim - 1))
        return torch.where(where, other, kept)

    def padded(x: Tensor) -> Tensor:
        axes = [0, 0] * (x.ndim - 2)
        return F.pad(x, (*axes, 0, longest - x.shape[1]))

    return TextFeatures(
        pooled=pick(text.pooled, empty.pooled),
        tokens=pick(padded(text.tokens), padded(empty.tokens)),
        mask=pick(padded(text.mask), padded(empty.mask)),
    )


def _bin_name(split: str, number: int) -> str:
    """What the loss over a range of times is called, in percent."""
    percent = 100 // NUM_BINS
    return f"{split}/loss_t{number * percent}-{(number + 1) * percent}"


def replaced(part: Any, name: str, value: Any) -> Any:
    """``part``, or a copy in which one setting differs."""
    if value is None:
        return part
    if not hasattr(part, name):
        raise ValueError(f"{type(part).__name__} has no {name} to set to {value}")
    part = copy.copy(part)
    setattr(part, name, value)
    return part
