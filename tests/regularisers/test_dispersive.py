"""Tokens from inside the denoiser, and the loss that pushes them apart."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from vidiff.conditioning import AdaLNZero, InContext, Joint
from vidiff.data import MovingShapes
from vidiff.denoisers import DiT, UNet
from vidiff.patchifiers import Tubelet
from vidiff.regularisers import Dispersive
from vidiff.training import DiffusionTask
from vidiff.training.data import VideoDataModule
from vidiff.training.trainer import VidiffTrainer
from vidiff.types import Signal, SignalDims

SIGNALS = {"text": SignalDims(vector=8, tokens=8)}
TEXT = {"text": Signal(torch.randn(2, 8), torch.randn(2, 5, 8), torch.ones(2, 5).bool())}
NETWORKS = {
    "adaln_zero": partial(DiT, conditioning=AdaLNZero, width=24, depth=3, num_heads=2),
    "joint": partial(DiT, conditioning=Joint, width=24, depth=3, num_heads=2),
    "in_context": partial(DiT, conditioning=InContext, width=24, depth=3, num_heads=2),
    "unet": partial(UNet, width=8, multipliers=[1, 2], depth=1, num_heads=2),
}


def test_it_is_the_logarithm_of_the_mean_over_all_pairs():
    """Wang & He 2025, algorithm 1, with distances over the size as in the published code."""
    z = torch.randn(5, 3, 4)
    total = 0.0
    for one in z:
        for other in z:
            total += math.exp(-float((one - other).square().mean()) / 0.5)
    expected = 0.5 * math.log(total / 25)
    torch.testing.assert_close(Dispersive()({1: z}), torch.tensor(expected))
    assert Dispersive()({1: z}) < Dispersive()({1: z / 10}) < 0  # apart is better
    assert Dispersive()({1: torch.ones(4, 3)}) == 0
    torch.testing.assert_close(Dispersive(weight=2.0)({1: z}), torch.tensor(4 * expected))


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_the_tokens_of_the_video_and_taking_them_changes_nothing(name):
    torch.manual_seed(0)
    network = NETWORKS[name](in_channels=3, out_channels=3, signals=SIGNALS)
    latents, t = torch.randn(2, 3, 2, 8, 8), torch.tensor([10.0, 900.0])
    alone = network(latents, t, TEXT)
    with network.tapped((1, 3)) as features:
        tapped = network(latents, t, TEXT)
    assert torch.equal(alone, tapped)
    assert sorted(features) == [1, 3]
    num_tokens = 2 * 4 * 4 if name != "unet" else None
    for tokens in features.values():
        assert tokens.ndim == 3
        assert len(tokens) == 2
        assert num_tokens in (None, tokens.shape[1])
    before = {number: tokens.clone() for number, tokens in features.items()}
    network(latents + 1, t, TEXT)  # after it, nothing is taken any more
    assert all(torch.equal(features[number], before[number]) for number in before)


def test_a_block_that_there_is_not_is_refused_with_those_that_there_are():
    network = NETWORKS["joint"](in_channels=3, out_channels=3, signals=SIGNALS)
    with (
        pytest.raises(ValueError, match=r"no block 4 .* DiT has blocks 1 to 3"),
        network.tapped((4,)),
    ):
        pass
    with pytest.raises(ValueError, match="block must be at least 1, got 0"):
        Dispersive(block=0)
    with pytest.raises(ValueError, match="temperature must be positive"):
        Dispersive(temperature=0)


def fit(folder, **settings):
    patches = partial(Tubelet, patch_size=(1, 8, 8))
    denoiser = partial(DiT, width=24, depth=2, num_heads=2, patchifier=patches)
    data = partial(MovingShapes, num_frames=2, height=16, width=16, radius=(3, 4), num_videos=8)
    trainer = VidiffTrainer(
        accelerator="cpu", default_root_dir=folder, logger=False, max_steps=3,
        limit_val_batches=0, log_every_n_steps=1,
    )  # fmt: skip
    task = DiffusionTask(denoiser=denoiser, ema_decay=0.0, **settings)
    trainer.fit(task, VideoDataModule(dataset=data, batch_size=4, num_workers=0))
    return trainer.logged_metrics, task.state_dict()


def test_training_with_it_adds_a_term_and_without_it_is_as_it_was(tmp_path):
    plain, weights = fit(tmp_path / "plain")
    logged, moved = fit(tmp_path / "dispersive", regulariser=partial(Dispersive, block=1))
    idle, same = fit(tmp_path / "idle", regulariser=partial(Dispersive, block=2, weight=0.0))
    assert "train/regulariser" not in plain
    assert -1 < logged["train/regulariser"] < 0
    assert idle["train/regulariser"] == 0
    assert any(not torch.equal(weights[key], moved[key]) for key in weights)
    assert all(torch.equal(weights[key], same[key]) for key in weights)
