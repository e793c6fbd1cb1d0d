"""Flicker, warping error, motion and cuts: closed forms, and the rules of other tools rewritten."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor

from vidiff.data.shapes import Combination, render
from vidiff_eval.features.motion import MotionFeatures
from vidiff_eval.metrics.clip_consistency import CLIPConsistency
from vidiff_eval.metrics.consistency import BackgroundConsistency, SubjectConsistency
from vidiff_eval.metrics.flicker import Flicker
from vidiff_eval.metrics.motion import Motion
from vidiff_eval.metrics.shot_cuts import ShotCuts
from vidiff_eval.metrics.warping_error import WarpingError
from vidiff_eval.networks.flow import DIS
from vidiff_eval.statistics.cuts import colour_change
from vidiff_eval.statistics.warping import visible, warp, warping_error

CLIPS = Path(__file__).parents[4] / "shared" / "videos" / "clips"


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """A smooth picture (3, h, w) that spans most of [-1, 1]."""
    noise = np.random.default_rng(seed).standard_normal((3, height, width))
    smooth = gaussian_filter(noise, (0, 2, 2), mode="wrap")
    smooth /= 3 * smooth.std()
    return torch.from_numpy(smooth).float().clamp(-1, 1)


def translated(dx: int, dy: int, num_frames: int = 5, size: int = 64, seed: int = 0) -> Tensor:
    """A clip (1, 3, f, size, size) that moves by so many pixels a frame."""
    margin = num_frames * max(abs(dx), abs(dy))
    whole = texture(size + 2 * margin, size + 2 * margin, seed)
    starts = [(margin - k * dy, margin - k * dx) for k in range(num_frames)]
    frames = [whole[:, y : y + size, x : x + size] for y, x in starts]
    return torch.stack(frames, dim=1)[None]


def still(num_frames: int = 5, size: int = 64, seed: int = 0) -> Tensor:
    return translated(0, 0, num_frames, size, seed)


def row(metric, clips: Tensor) -> dict:
    return metric.judge(metric.features.extract(clips), [""] * len(clips))[0]


# Flicker


def test_flicker_closed_form() -> None:
    levels = torch.tensor([0.0, 0.2, -0.1])  # of 2, in 255 grey levels: changes of 25.5 and 38.25
    clip = levels.view(1, 1, 3, 1, 1).expand(1, 3, 3, 4, 4)
    assert row(Flicker(), clip)["flicker"] == pytest.approx((25.5 + 38.25) / 2, rel=1e-5)


def test_flicker_is_vbenchs_on_bytes() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)
    pairs = itertools.pairwise(frames.astype(np.float32))
    errors = [np.abs(a - b).mean() for a, b in pairs]
    expected = (255 - np.mean(errors)) / 255
    clip = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
    assert row(Flicker(), clip)["flicker_vbench"] == pytest.approx(expected, rel=1e-5)
    assert row(Flicker(), clip[:, :, :1].expand_as(clip)) == {"flicker": 0, "flicker_vbench": 1}


# Warping


def test_warp_is_scipys_bilinear_one() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 3, 9, 13, generator=generator)
    flow = 4 * torch.randn(2, 2, 9, 13, generator=generator)
    y, x = np.mgrid[:9, :13]
    for frame, (u, v), warped in zip(frames, flow.numpy(), warp(frames, flow), strict=True):
        for channel, found in zip(frame, warped, strict=True):
            expected = map_coordinates(channel.numpy(), [y + v, x + u], order=1, mode="nearest")
            np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_visible_is_the_rule_of_lai_et_al() -> None:
    """Against that rule on arrays, away from pixels that leave the frame."""
    forward = gaussian_filter(np.random.default_rng(0).standard_normal((2, 40, 40)), (0, 5, 5)) * 20
    noise = gaussian_filter(np.random.default_rng(1).standard_normal((2, 40, 40)), (0, 5, 5)) * 8
    backward = noise - forward
    y, x = np.mgrid[:40, :40]
    places = [y + forward[1], x + forward[0]]
    back = np.stack([map_coordinates(one, places, order=1, mode="nearest") for one in backward])
    size = (forward**2).sum(0)
    occluded = ((forward + back) ** 2).sum(0) > 0.01 * (size + (back**2).sum(0)) + 0.5
    gradient = np.zeros((40, 40))
    for one in forward:
        gradient[:, :-1] += np.diff(one, axis=1) ** 2
        gradient[:-1] += np.diff(one, axis=0) ** 2
    expected = ~(occluded | (gradient > 0.01 * size + 0.002))
    flows = (torch.from_numpy(flow).float()[None] for flow in (forward, backward))
    found = visible(*flows)[0].numpy()
    assert 0.1 < expected[8:-8, 8:-8].mean() < 0.9
    np.testing.assert_array_equal(found[8:-8, 8:-8], expected[8:-8, 8:-8])


def test_what_leaves_the_frame_or_is_covered_is_not_visible() -> None:
    flow = torch.zeros(1, 2, 16, 16)
    flow[:, 0] = 3
    seen = visible(flow, -flow)[0]
    assert seen[:, :13].all()
    assert not seen[:, 13:].any()
    # A patch that moves right by 4 covers what stood beside it: there, the flow back is the patch's
    forward, backward = torch.zeros(1, 2, 16, 32), torch.zeros(1, 2, 16, 32)
    forward[:, 0, :, 8:16], backward[:, 0, :, 12:20] = 4, -4
    seen = visible(forward, backward)[0]
    assert not seen[:, 16:20].any()
    assert seen[:, 9:15].all()
    assert seen[:, 20:].all()


def test_warping_error_closed_forms() -> None:
    frames = torch.zeros(3, 3, 4, 4)
    warped = frames + torch.tensor([0.1, 0.2, 0.4]).view(3, 1, 1, 1)
    warped[1, :, 2:] = 1
    seen = torch.ones(3, 4, 4, dtype=torch.bool)
    seen[1, 2:] = False
    seen[2] = False
    errors = warping_error(frames, warped, seen)
    assert errors[:2].tolist() == pytest.approx([0.01, 0.04])
    assert errors[2].isnan()


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (-2, 1), (0, 3)])
def test_dis_finds_a_translation(dx: int, dy: int) -> None:
    clip = translated(dx, dy)[0].transpose(0, 1)
    flow = DIS().estimate(clip[:-1], clip[1:])
    assert flow.shape == (4, 2, 64, 64)
    inner = flow[:, :, 8:-8, 8:-8]
    assert (inner - torch.tensor([dx, dy]).view(2, 1, 1)).abs().mean() < 0.05


def test_a_translated_texture_moves_and_keeps_its_colours() -> None:
    clip = translated(3, -2)
    found = row(WarpingError(), clip)
    assert found["warping_error"] < 1e-4
    assert 0.8 < found["visible_share"] < 1
    assert row(Motion(), clip)["motion"] == pytest.approx(100 * 13**0.5 / 64, rel=0.05)
    # Without following the motion, it would be far more
    frames = (clip[0].transpose(0, 1) + 1) / 2
    everywhere = torch.ones(4, 64, 64, dtype=torch.bool)
    assert warping_error(frames[:-1], frames[1:], everywhere).mean() > 100 * found["warping_error"]


def test_a_frozen_video_has_no_error_and_no_motion() -> None:
    clip = still()
    found = row(WarpingError(), clip)
    assert found == {"warping_error": pytest.approx(0, abs=1e-12), "visible_share": 1}
    assert row(Motion(), clip) == {"motion": 0, "dynamic_degree": False, "dynamic_pairs": 0}
    assert row(ShotCuts(), clip) == {"shot_cuts": 0, "cut_after_frames": []}


def test_noise_adds_twice_its_variance() -> None:
    deviation = 0.02  # on the scale of [0, 1]
    noise = torch.randn(1, 3, 6, 96, 96, generator=torch.Generator().manual_seed(0))
    error = row(WarpingError(), still(6, 96) * 0.8 + 2 * deviation * noise)["warping_error"]
    # Interpolation between pixels averages a little of the noise away.
    assert 1.3 * deviation**2 < error < 2.05 * deviation**2


def test_pairs_without_a_visible_pixel_do_not_count() -> None:
    nan = float("nan")
    found = {
        "warping_error": torch.tensor([[0.2, nan], [nan, nan], [0.3, 0.5]]),
        "visible": torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.5, 1.0]]),
    }
    metric = WarpingError()
    rows = metric.judge(found, [""] * 3)
    assert [one["warping_error"] for one in rows] == [pytest.approx(0.2), None, pytest.approx(0.4)]
    error, share = metric.summarise(metric.tally(rows))
    assert error.value == pytest.approx(0.3)
    assert error.detail["num_clips"] == 2
    assert share.value == pytest.approx((0.5 + 0 + 0.75) / 3)


# Motion


@pytest.mark.parametrize("num_frames", [3, 4, 6, 8, 10, 16, 20])
@pytest.mark.parametrize("size", [(64, 96), (256, 144)])
def test_dynamic_degree_is_vbenchs(num_frames: int, size: tuple[int, int], monkeypatch) -> None:
    """On random flows, some faster and some slower than the threshold."""
    generator = torch.Generator().manual_seed(num_frames)
    speed = 12 * min(size) / 256 * torch.rand(4, num_frames - 1, 1, 1, 1, generator=generator)
    flows = speed * torch.randn(4, num_frames - 1, 2, *size, generator=generator) / 2.5
    metric = Motion()
    clips = torch.zeros(4, 3, num_frames, *size)
    queue = []
    for clip in flows:
        for some in clip.split(8):
            queue += [some, -some]
    monkeypatch.setattr(metric.features.flow, "estimate", lambda *args: queue.pop(0))
    rows = metric.judge(metric.features.extract(clips), [""] * 4)
    for found, clip in zip(rows, flows.numpy(), strict=True):
        scores = []
        for flow in clip:
            length = np.sort(-np.sqrt((flow**2).sum(0)).flatten())
            scores.append(np.mean(np.abs(length[: int(size[0] * size[1] * 0.05)])))
        moving = sum(score > 6.0 * (min(size) / 256.0) for score in scores)
        assert found["dynamic_pairs"] == moving
        assert found["dynamic_degree"] == (moving >= round(4 * (num_frames / 16.0)))
    assert queue == []


@pytest.mark.parametrize("num_frames", range(3, 33))
def test_as_many_pairs_are_needed_as_vbench_asks_for(num_frames: int) -> None:
    num_dynamic = torch.arange(num_frames)[:, None]
    fast = torch.arange(num_frames - 1) < num_dynamic  # clip k has k fast pairs
    found = {"top_flow": 2.3 + 0.1 * fast, "mean_flow": torch.ones(num_frames, num_frames - 1)}
    rows = Motion().judge(found, [""] * num_frames)
    needed = round(4 * (num_frames / 16.0))
    assert [one["dynamic_degree"] for one in rows] == [k >= needed for k in range(num_frames)]


def test_two_still_frames_are_not_dynamic() -> None:
    """VBench's rule asks for none of the pairs of two frames."""
    assert not row(Motion(), still(2))["dynamic_degree"]
    assert row(Motion(), translated(4, 0, 2))["dynamic_degree"]


def test_dynamic_degree_is_a_share() -> None:
    clips = torch.cat([still(4), translated(3, 0, 4), translated(0, 3, 4, seed=1)])
    metric = Motion()
    rows = metric.judge(metric.features.extract(clips), [""] * 3)
    motion, dynamic = metric.summarise(metric.tally(rows))
    assert motion.value == pytest.approx(2 / 3 * 100 * 3 / 64, rel=0.05)
    assert dynamic.value == pytest.approx(2 / 3)
    assert dynamic.method == "Wilson's over clips"


def test_motion_does_not_depend_on_the_size_of_frames() -> None:
    clip = translated(2, 0, 3)
    large = torch.nn.functional.interpolate(clip, (3, 128, 128), mode="trilinear")
    small, large = (row(Motion(), one)["motion"] for one in (clip, large))
    assert large == pytest.approx(small, rel=0.05)


def test_consistency_is_read_beside_motion() -> None:
    for metric in (SubjectConsistency, BackgroundConsistency, CLIPConsistency):
        assert metric.beside == ("motion",)


def test_moving_shapes_move(scenes) -> None:
    moves, stays = (
        render(scenes([Combination("red", "square", motion)]), 6, 32, 32)
        for motion in ("moves left", "stays still")
    )
    assert row(Motion(), stays)["motion"] == 0
    assert row(Motion(), moves)["motion"] > 0.1
    frames = moves[0].transpose(0, 1)
    flow = DIS().estimate(frames[:-1], frames[1:])
    inside = frames[:-1, 0] > 0.5  # the red square
    assert flow[:, 0][inside].mean() < -0.5
    assert flow[:, 1][inside].abs().mean() < 0.2


# Cuts


def test_cuts_between_shots() -> None:
    shots = [
        translated(1, 0, 4, seed=0),
        translated(0, -2, 3, seed=1) * 0.3 - 0.6,
        still(5, seed=2),
    ]
    found = row(ShotCuts(), torch.cat(shots, dim=2))
    assert found == {"shot_cuts": 2, "cut_after_frames": [3, 6]}


@pytest.mark.parametrize("what", ["noise", "light", "fast", "dissolve"])
def test_what_is_no_cut(what: str) -> None:
    generator = torch.Generator().manual_seed(0)
    if what == "noise":
        clip = (torch.randn(1, 3, 4, 64, 64, generator=generator) / 2).clamp(-1, 1)
    elif what == "light":
        clip = still(5) * 0.5 + torch.linspace(-0.4, 0.4, 5).view(1, 1, 5, 1, 1)
    elif what == "fast":
        clip = translated(9, 5, 4)
    else:
        share = torch.linspace(0, 1, 16).view(1, 1, 16, 1, 1)
        clip = still(16) * (1 - share) + still(16, seed=1) * share
    assert row(ShotCuts(), clip)["shot_cuts"] == 0


def test_colour_change_closed_form() -> None:
    frames = torch.zeros(2, 3, 4, 4)
    others = frames.clone()
    others[0, :, :1] = 1  # a quarter of the pixels, and white is in the last bin
    others[1, 0] = 0.5
    assert colour_change(frames, others).tolist() == pytest.approx([0.25, 1.0])
    assert colour_change(others, frames.flip(2)).tolist() == pytest.approx([0.25, 1.0])


@pytest.mark.skipif(not CLIPS.is_dir(), reason=f"needs the real videos in {CLIPS}")
def test_cuts_of_real_videos() -> None:
    """Parts of different files, one after the other; bikes.mp4 has a cut after its frame 29."""
    from vidiff.video import VideoReader

    def read(name: str, num_frames: int, start: float = 0) -> Tensor:
        with VideoReader(CLIPS / name) as video:
            return video.clip(num_frames=num_frames, start=start, size=(128, 128))

    names = ("kitten.mp4", "horse.mp4", "carphone.mp4", "train.mp4", "pancake.mkv")
    parts = torch.cat([read(name, 6) for name in names], dim=1)
    assert row(ShotCuts(), parts[None])["cut_after_frames"] == [5, 11, 17, 23]
    assert row(ShotCuts(), read("bikes.mp4", 40)[None])["cut_after_frames"] == [29]


@pytest.mark.parametrize("name", ["max_found_again", "min_colour_change"])
def test_thresholds_are_shares(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is a share of pixels, between 0 and 1, got 2"):
        ShotCuts(**{name: 2})


# Features


def test_a_clip_is_the_same_alone_and_in_a_batch_and_pair_by_pair() -> None:
    clips = torch.cat([translated(1, 1, 20), translated(-2, 0, 20, seed=1)])
    features = MotionFeatures()
    both = features.extract(clips)
    for name, value in both.items():
        assert value.shape == (2, 19)
        torch.testing.assert_close(features.extract(clips[1:])[name], value[1:])
        pair = features.extract(clips[:1, :, 11:13])[name]
        torch.testing.assert_close(pair, value[:1, 11:12])


def test_metrics_of_one_flow_share_what_is_kept() -> None:
    settings = [metric().features.settings for metric in (WarpingError, Motion, ShotCuts)]
    assert settings[0] == settings[1] == settings[2]


@pytest.mark.parametrize("metric", [Flicker, WarpingError, Motion, ShotCuts])
def test_one_frame_is_refused(metric) -> None:
    with pytest.raises(ValueError, match=r"a clip has 1: set --protocol.num_frames"):
        metric().features.extract(still(1))
    assert metric().features.min_frames == 2


def test_dis_gives_the_same_on_any_number_of_threads() -> None:
    import cv2

    clip = translated(2, 1, 2, 256)[0].transpose(0, 1)
    before, found = cv2.getNumThreads(), []
    try:
        for number in (1, 2, 5):
            cv2.setNumThreads(number)
            found.append(DIS().estimate(clip[:1], clip[1:]))
    finally:
        cv2.setNumThreads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_small_frames_say_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"16x16 pixels, these are 12x40: set --protocol.size"):
        MotionFeatures().extract(torch.zeros(1, 3, 2, 12, 40))


def test_without_opencv_the_way_out_is_said(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ValueError, match=r"pip install 'vidiff\[flow\]', or set flow to raft"):
        _ = WarpingError().settings
    assert Flicker().settings  # needs no flow
