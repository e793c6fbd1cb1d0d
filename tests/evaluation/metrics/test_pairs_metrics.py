"""Metrics of pairs, against closed forms and the measures that training reports."""

import pytest
import torch
import torchvision

from vidiff.reconstruction import Reconstruction
from vidiff.reconstruction.lpips import PerceptualDistance
from vidiff.reconstruction.ssim import ssim
from vidiff_eval.metrics import LPIPS, PSNR, RFVD, SSIM


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    real = torch.rand(2, 3, 3, 64, 64, generator=generator) * 1.6 - 0.8
    return real + 0.1 * torch.randn(real.shape, generator=generator), real


def test_psnr_closed_form():
    real = torch.zeros(2, 3, 2, 4, 4)
    generated = real.clone()
    generated[1] += 0.2  # 0.1 of [0, 1]: 20 dB
    rows = PSNR().judge(generated, real)
    assert [row["psnr"] for row in rows] == pytest.approx([100.0, 20.0], abs=1e-4)


def test_ssim_is_torchmetrics(clips):
    rows = SSIM().judge(*clips)
    expected = [ssim(*pair).mean().item() for pair in zip(*clips, strict=True)]
    assert [row["ssim"] for row in rows] == pytest.approx(expected)
    assert [row["ssim"] for row in SSIM().judge(clips[1], clips[1])] == pytest.approx([1, 1])


def test_lpips_is_that_of_training_and_names_its_variant(clips, tmp_path):
    features = torchvision.models.alexnet().features.state_dict()
    path = tmp_path / "alexnet.pth"
    torch.save({f"features.{key}": value for key, value in features.items()}, path)
    metric = LPIPS(weights=str(path))
    rows = metric.judge(*clips)
    assert metric.settings["variant"] == "lpips-alex"
    assert len(metric.settings["weights_sha256"]) == 64
    assert isinstance(metric.video_score, PerceptualDistance)
    with torch.no_grad():
        expected = metric.video_score.score(Reconstruction(*clips, torch.zeros(2, 0)))
    assert [row["lpips"] for row in rows] == pytest.approx(expected.tolist())
    assert metric.judge(clips[1], clips[1])[0]["lpips"] == 0
    with pytest.raises(ValueError, match="holds"):
        _ = LPIPS(weights=str(path), backbone="vgg").settings


def test_pairs_of_other_sizes_are_refused(clips):
    with pytest.raises(ValueError, match=r"\(3, 3, 32, 64\) and \(3, 3, 64, 64\).*protocol.size"):
        PSNR().judge(clips[0][..., :32, :], clips[1])


def test_scores_follow_from_sums_over_clips():
    metric = PSNR()
    rows = [{"psnr": value} for value in (20.0, 30.0, 28.0)]
    (score,) = metric.summarise(metric.tally(rows))
    assert score.value == pytest.approx(26)
    assert score.interval[0] < 26 < score.interval[1]


def test_rfvd_is_called_so():
    metric = RFVD()
    assert metric.scores == ("rfvd",)
    assert metric.paired
    assert not metric.has_floor
