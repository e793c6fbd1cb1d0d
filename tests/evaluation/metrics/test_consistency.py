"""Consistency of frames and fit to prompts: closed forms, and the formulas of other tools."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vidiff_eval.clips.clip import Clip, VideoFile
from vidiff_eval.features.base import Features
from vidiff_eval.metrics.clip_consistency import CLIPConsistency
from vidiff_eval.metrics.clip_score import CLIPScore
from vidiff_eval.metrics.consistency import (
    BackgroundConsistency,
    Consistency,
    SubjectConsistency,
)
from vidiff_eval.statistics.consistency import adjacent, adjacent_and_first, by_distance

METRICS = [CLIPConsistency, SubjectConsistency, BackgroundConsistency]


def turning(angle: float, num_frames: int, *, dim: int = 2, length: float = 1.0) -> Tensor:
    """A clip (1, f, d) whose vectors turn by an angle from frame to frame."""
    angles = angle * torch.arange(num_frames, dtype=torch.float64)
    plane = torch.stack([angles.cos(), angles.sin()], dim=-1)
    return length * F.pad(plane, (0, dim - 2))[None]


def random_frames(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(0))


# -- Formulas -------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 0.1, 1.0, 2.5])
def test_vectors_that_turn_have_the_cosines_of_their_angles(angle: float) -> None:
    frames = turning(angle, 6, dim=5, length=3.0)
    assert adjacent(frames).item() == pytest.approx(math.cos(angle))
    expected = [math.cos(k * angle) for k in range(1, 6)]
    assert by_distance(frames)[0].tolist() == pytest.approx(expected)
    clamped = [max(0, math.cos(k * angle)) for k in range(1, 6)]
    vbench = sum((clamped[0] + one) / 2 for one in clamped) / 5
    assert adjacent_and_first(frames).item() == pytest.approx(vbench)


def test_vbench_by_its_loop() -> None:
    frames = random_frames(4, 7, 10)
    expected = []
    for clip in frames:
        total = 0.0
        for i in range(1, 7):
            before = max(0.0, F.cosine_similarity(clip[i - 1], clip[i], dim=0).item())
            first = max(0.0, F.cosine_similarity(clip[0], clip[i], dim=0).item())
            total += (before + first) / 2
        expected.append(total / 6)
    assert adjacent_and_first(frames).tolist() == pytest.approx(expected, abs=1e-6)


def test_distances_are_means_of_the_matrix_of_cosines() -> None:
    frames = random_frames(3, 6, 8)
    matrix = F.cosine_similarity(frames[:, :, None].double(), frames[:, None].double(), dim=-1)
    expected = torch.stack([matrix.diagonal(k, 1, 2).mean(-1) for k in range(1, 6)], dim=1)
    torch.testing.assert_close(by_distance(frames), expected)
    torch.testing.assert_close(adjacent(frames), expected[:, 0])


def test_lengths_do_not_matter_and_zeros_are_alike_to_none() -> None:
    frames = random_frames(2, 4, 8)
    for measure in (adjacent, adjacent_and_first, by_distance):
        scaled = frames * torch.tensor([1e-3, 1.0, 50.0, 7.0])[:, None]
        torch.testing.assert_close(measure(frames), measure(scaled))
        assert not measure(torch.zeros(1, 3, 8)).any()


@pytest.mark.parametrize("measure", [adjacent, adjacent_and_first, by_distance])
def test_one_frame_has_no_consistency(measure: Any) -> None:
    with pytest.raises(ValueError, match=r"a clip has 1: set --protocol\.num_frames"):
        measure(torch.ones(2, 1, 4))


# -- Metrics --------------------------------------------------------------------------------------


class Stub(Features):
    """Vectors of prompts by their names."""

    name = "stub"
    settings: dict[str, Any] = {"network": "stub"}  # type: ignore[assignment] # noqa: RUF012

    def __init__(self, texts: dict[str, Tensor]) -> None:
        self.texts = texts

    def extract(self, clips: Tensor) -> dict[str, Tensor]:
        raise AssertionError("features are given here")

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        return torch.stack([self.texts[prompt] for prompt in prompts])


def clip(num_frames: int, file: str = "a.mp4") -> Clip:
    return Clip(VideoFile(Path("videos"), file), 0, 0.0, num_frames, 8.0)


@pytest.mark.parametrize("make", METRICS)
def test_scores_of_each_metric(make: type[Consistency]) -> None:
    frames = torch.cat([turning(0.4, 5), turning(2.0, 5), turning(0.0, 5)])
    metric = make()
    rows = metric.judge({"features": frames}, ["", "", ""])
    by_name = {name: [row[name] for row in rows] for name in metric.scores}
    (plain,) = (name for name in metric.scores if name in ("clip_consistency",) or "adj" in name)
    (vbench,) = set(metric.scores) - {plain}
    assert by_name[plain] == pytest.approx(adjacent(frames).tolist())
    assert by_name[vbench] == pytest.approx(adjacent_and_first(frames).tolist())
    assert by_name[plain][2] == by_name[vbench][2] == 1  # frozen
    ((label, curve),) = metric.curves({"features": frames}).items()
    assert label == plain
    assert curve.shape == (3, 4)
    assert curve[:, 0].tolist() == pytest.approx(by_name[plain])
    assert metric.beside == ("motion",)
    assert metric.higher_is_better


def test_names_of_scores_are_unique() -> None:
    names = [name for make in (*METRICS, CLIPScore) for name in make.scores]
    assert len(names) == len(set(names))


def test_scores_are_means_over_clips() -> None:
    frames = torch.cat([turning(0.4, 5), turning(1.0, 5)])
    metric = CLIPConsistency()
    scores = metric.summarise(metric.tally(metric.judge({"features": frames}, ["", ""])))
    assert [score.name for score in scores] == list(metric.scores)
    assert scores[0].value == pytest.approx((math.cos(0.4) + math.cos(1.0)) / 2)


@pytest.mark.parametrize("make", METRICS)
def test_clips_of_one_frame_are_refused(make: type[Consistency]) -> None:
    with pytest.raises(ValueError, match=r"b\.mp4 gives 1: set --protocol\.num_frames"):
        make().check([clip(5), clip(1, "b.mp4")])
    make().check([clip(2)])


def test_background_by_timm() -> None:
    metric = BackgroundConsistency(model="test_vit.r160_in1k", weights="vit.safetensors")
    assert metric.features.name == "timm_test_vit.r160_in1k"
    with pytest.raises(ValueError, match="set model"):
        BackgroundConsistency(weights="vit.safetensors")


# -- CLIP score -----------------------------------------------------------------------------------

TEXTS = {"right": torch.tensor([2.0, 0.0]), "up": torch.tensor([0.0, 0.5])}


def score(frames: Tensor, prompts: Sequence[str], **settings: float) -> list[dict[str, Any]]:
    metric = CLIPScore(**settings)
    metric.features = Stub(TEXTS)  # type: ignore[assignment]
    return metric.judge({"features": frames}, prompts)


def test_score_of_known_angles() -> None:
    """Cosines with the prompt of 1, 0.5, -0.5, -1: each pair is clamped."""
    frames = turning(math.pi / 3, 4)
    (row,) = score(frames, ["right"])
    assert row["clip_score"] == pytest.approx(100 * 1.5 / 4)
    assert row["lowest_frame"] == 0
    assert row["highest_frame"] == pytest.approx(100)


def test_each_clip_is_judged_by_its_own_prompt() -> None:
    frames = torch.cat([turning(0.0, 3), turning(0.0, 3)])
    assert [row["clip_score"] for row in score(frames, ["up", "right"])] == pytest.approx([0, 100])


def test_scale_of_hessel() -> None:
    """CLIPScore(c, v) = w max(cos(c, v), 0), w = 2.5."""
    frames = random_frames(1, 1, 2)
    cosine = F.cosine_similarity(frames[0, 0], TEXTS["right"], dim=0).item()
    (row,) = score(frames, ["right"], scale=2.5)
    assert row["clip_score"] == pytest.approx(2.5 * max(cosine, 0), abs=1e-6)
    with pytest.raises(ValueError, match="got 0"):
        CLIPScore(scale=0)


def test_empty_prompts_are_named() -> None:
    with pytest.raises(ValueError, match="prompt 2 of 2 is empty"):
        CLIPScore().check_prompts(["a dog", " "])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from test_clip import save_huggingface

    return save_huggingface(tmp_path_factory.mktemp("clip") / "transformers")


def test_score_is_that_of_torchmetrics(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small random CLIP by way of torchmetrics' own code, a frame and its prompt at a time."""
    import transformers
    from test_clip import clips
    from torchmetrics.functional.multimodal import clip_score

    model = transformers.CLIPModel.from_pretrained(folder).eval()
    for part in ("get_image_features", "get_text_features"):  # which version 5 wraps
        wrapped = getattr(model, part)
        monkeypatch.setattr(model, part, partial(lambda f, *x: f(*x).pooler_output, wrapped))
    image_processor = transformers.CLIPImageProcessor.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, model_max_length=20)
    processor = transformers.CLIPProcessor(image_processor, tokenizer)
    videos, prompts = clips(3, 45, 67), ["a red square moves left", "a dog"]
    metric = CLIPScore(model=str(folder))
    rows = metric.judge(metric.features.extract(videos), prompts)
    for row, video, prompt in zip(rows, videos, prompts, strict=True):
        frames = ((video + 1) * 127.5).round().byte().transpose(0, 1)
        expected = [
            clip_score(frame, prompt, lambda: (model, processor)).item() for frame in frames
        ]
        assert row["clip_score"] == pytest.approx(sum(max(0, one) for one in expected) / 3, abs=0.1)
        assert row["highest_frame"] == pytest.approx(max(0, *expected), abs=0.1)
    assert max(row["clip_score"] for row in rows) > 1


def test_settings_are_plain_and_share_features(folder: Path) -> None:
    """Equal features are extracted once for all metrics of one CLIP."""
    metrics = [make(model=str(folder)) for make in (CLIPScore, CLIPConsistency)]
    metrics.append(BackgroundConsistency(model=str(folder)))
    for metric in metrics:
        assert json.loads(json.dumps(metric.settings)) == metric.settings
        assert metric.settings["features"] == metrics[0].features.settings
    assert metrics[0].settings["clamp"].startswith("each pair")


def test_a_frozen_video_scores_one_and_noise_less(folder: Path) -> None:
    from test_clip import clips

    metric = CLIPConsistency(model=str(folder))
    video = clips(5, 40, 40, number=1)
    noise = torch.rand(video.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    frozen = video[:, :, :1].expand_as(video)
    rows = metric.judge(metric.features.extract(torch.cat([frozen, noise])), ["", ""])
    assert rows[0]["clip_consistency"] == pytest.approx(1)
    assert rows[0]["clip_consistency_vbench"] == pytest.approx(1)
    assert rows[1]["clip_consistency"] < 1 - 1e-5
