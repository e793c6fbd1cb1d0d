"""Figures of reconstructions: the same however clips are dealt, and in full precision."""

import json
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch
from processes import run_together
from run_tiny import make_task as make_diffusion_task
from validate_tiny import make_data, make_task, make_trainer

from vidiff.autoencoders import Identity
from vidiff.perceptual import Perceptual
from vidiff.reconstruction import PSNR, SSIM, PerceptualDistance, Reconstruction
from vidiff.training import AutoencoderTask
from vidiff.training.autoencoder.scores import Scores

SCRIPT = Path(__file__).parents[1] / "validate_tiny.py"
RATES = {"encode_frames_per_second", "decode_frames_per_second"}
LOSSES = {"loss", "reconstruction", "kl"}
SCORES = {
    "psnr", "ssim", "flicker", "frame_change", "frame_change_reference",
    "latent_mean", "latent_std", "latent_mean_worst", "latent_std_min", "latent_std_max",
}  # fmt: skip
CODES = {"codebook_usage", "codebook_perplexity"}


def alone(scores):
    """Without what depends on the machine."""
    return {k: v for k, v in scores.items() if not k.endswith("per_second")}


def validate(folder, batch_size=2, **settings):
    return make_trainer(folder).validate(
        make_task(**settings), make_data(batch_size), verbose=False
    )[0]


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "The `srun` command")  # where Slurm is installed
        return validate(tmp_path_factory.mktemp("one"))


def test_scores_are_those_of_the_whole_split(scores):
    """Of five clips in batches of two, two and one, against all five at once."""
    task, dataset = make_task(), make_data().dataset("val")
    task.configure_model()
    reference = torch.stack([dataset[i].pixels for i in range(len(dataset))])
    with torch.no_grad():
        pixels, posterior = task.autoencoder.eval()(reference)
    mse = (pixels.clamp(-1, 1) - reference).double().square().flatten(1).mean(1) / 4
    assert scores["val/psnr"] == pytest.approx((-10 * mse.log10()).mean().item(), rel=1e-6)
    assert scores["val/codebook_usage"] == pytest.approx(len(posterior.indices.unique()) / 12)
    latents = task.autoencoder.normalise(posterior.mode)
    assert scores["val/latent_std"] == pytest.approx(latents.std(correction=0).item(), rel=1e-5)


def test_every_score_is_named(scores):
    assert {name.removeprefix("val/") for name in scores} == LOSSES | RATES | SCORES | CODES
    assert min(scores[f"val/{rate}"] for rate in RATES) > 0


def test_batches_make_no_difference(tmp_path, scores):
    assert alone(validate(tmp_path, batch_size=5)) == pytest.approx(alone(scores), rel=1e-5)


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("sharded", marks=pytest.mark.slow)])
def test_two_processes_give_the_scores_of_one(tmp_path, scores, strategy):
    for done in run_together(2, SCRIPT, tmp_path, "--strategy", strategy, "--devices", 2):
        assert done.returncode == 0, done.stderr[-3000:]
    both = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert both[0] == both[1]
    noisy = make_trainer(tmp_path).test(make_diffusion_task(), make_data(), verbose=False)[0]
    assert alone(both[0]) == pytest.approx(alone(scores) | noisy, rel=1e-5)


def test_the_test_split_has_its_own_names(tmp_path):
    trainer = make_trainer(tmp_path)
    found = trainer.test(make_task("causal_kl"), make_data(), verbose=False)[0]
    assert set(found) == {f"test/{name}" for name in LOSSES | RATES | SCORES}
    found = trainer.test(make_diffusion_task(), make_data(), verbose=False)[0]
    assert set(found) == {"test/loss"} | {f"test/loss_t{k}-{k + 25}" for k in (0, 25, 50, 75)}


def test_a_published_autoencoder_is_measured_and_never_trained(tmp_path):
    task = AutoencoderTask(autoencoder=Identity)
    found = make_trainer(tmp_path).validate(task, make_data(), verbose=False)[0]
    assert found["val/psnr"] == pytest.approx(100)
    assert found["val/loss"] == found["val/flicker"] == 0
    assert "val/kl" not in found
    with pytest.raises(ValueError, match="nothing to train: Identity"):
        make_trainer(tmp_path).fit(AutoencoderTask(autoencoder=Identity), make_data())


class Weighted(Perceptual):
    """Has weights, and sees the precision that it runs in."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv3d(3, 1, 1)

    def forward(self, pixels, reference):
        seen = self.conv(pixels)
        assert seen.dtype == torch.float32
        return (seen - self.conv(reference)).square().mean((1, 2, 3, 4))


WEIGHTED = partial(PerceptualDistance, distance=Weighted)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_mixed_precision_ends_where_measuring_begins(tmp_path, precision):
    task = make_task(metrics=[PSNR, SSIM, WEIGHTED])
    trainer = make_trainer(tmp_path, precision=precision)
    found = trainer.validate(task, make_data(), verbose=False)[0]
    assert {"val/psnr", "val/ssim", "val/perceptual"} <= set(found)


def test_metrics_are_no_part_of_a_checkpoint(tmp_path):
    make_trainer(tmp_path, max_steps=1).fit(make_task(metrics=[WEIGHTED]), make_data())
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert not [name for name in saved["state_dict"] if not name.startswith("autoencoder.")]


def test_validation_draws_no_random_numbers_and_starts_anew(tmp_path):
    """The second validation of a run forgets the first, which an early stop may have cut off."""
    task, data = make_task(), make_data()
    trainer = make_trainer(tmp_path)
    first = trainer.validate(task, data, verbose=False)[0]
    task.scores.update(
        Reconstruction(*(torch.ones(1, 3, 3, 16, 16),) * 2, torch.ones(1, 2, 2, 4, 4))
    )
    assert alone(trainer.validate(task, data, verbose=False)[0]) == alone(first)


def test_two_metrics_of_one_name_are_refused():
    scores = Scores([PSNR, PSNR])
    pixels = torch.zeros(1, 3, 1, 8, 8)
    scores.update(Reconstruction(pixels, pixels, pixels))
    with pytest.raises(ValueError, match=r"two of model\.metrics give psnr"):
        scores.compute(lambda tensor, reduce_op: tensor)


def test_nothing_measured_gives_no_figure():
    assert Scores(None).compute(lambda tensor, reduce_op: tensor) == {}
