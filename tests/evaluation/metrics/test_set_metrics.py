"""Metrics that compare sets of features: against other implementations and brute force."""

import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from vidiff_eval.features.base import Features
from vidiff_eval.features.i3d import I3D
from vidiff_eval.metrics.fd import FD
from vidiff_eval.metrics.fid import FID
from vidiff_eval.metrics.fvd import FVD
from vidiff_eval.metrics.fvd_infinity import FVDInfinity
from vidiff_eval.metrics.kvd import KVD
from vidiff_eval.metrics.precision_recall import PrecisionRecall
from vidiff_eval.protocols.protocol import Protocol
from vidiff_eval.statistics import kernel, neighbours
from vidiff_eval.statistics.frechet import frechet
from vidiff_eval.statistics.kernel import kernel_distance, leave_out_kernel
from vidiff_eval.statistics.neighbours import precision_and_recall
from vidiff_eval.statistics.noise_floor import noise_floor
from vidiff_eval.statistics.resampling import leave_out


class Given(Features):
    """Features that need no network."""

    name = "given"

    @property
    def settings(self):
        return {"network": self.name}

    def extract(self, clips):
        return {"features": clips.mean((2, 3, 4))}


def draw(n, d, seed, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator) * scale + shift


SETS = [FVD(), FVDInfinity(), KVD(), FID(), FD(Given()), PrecisionRecall()]


@pytest.fixture(params=SETS, ids=lambda metric: type(metric).__name__)
def metric(request):
    return request.param


def test_scores_are_the_distances_within_their_intervals(metric):
    real, generated = draw(50, 12, 0), draw(40, 12, 1, scale=1.4, shift=0.3)
    scores = metric.compare(real, generated)
    values = metric.distance(real, generated)
    assert [score.name for score in scores] == list(values) == list(metric.scores)
    for score in scores:
        assert score.value == pytest.approx(values[score.name])
        low, high = score.interval
        assert low < score.value < high
        assert score.method == "jackknife over 24 and 24 groups of clips"
        assert (score.detail["num_real"], score.detail["num_generated"]) == (50, 40)


def test_no_clip_and_one_clip_are_errors_that_say_which_side(metric):
    for few in (0, 1):
        for sides, words in (((few, 9), "real side"), ((9, few), "generated side")):
            real, generated = (draw(n, 12, 0) for n in sides)
            with pytest.raises(ValueError, match=words):
                metric.distance(real, generated)
            with pytest.raises(ValueError, match=words):
                metric.compare(real, generated)


def test_few_clips_have_scores_without_intervals():
    real, generated = draw(3, 12, 0), draw(2, 12, 1)
    for metric in (FVD(), KVD()):
        assert metric.compare(real, generated)[0].interval is None
    assert PrecisionRecall().compare(draw(5, 12, 0), draw(5, 12, 1))[0].interval is None


def test_order_of_clips_changes_no_score(metric):
    real, generated = draw(50, 12, 0), draw(40, 12, 1, shift=0.3)
    if not isinstance(metric, FVDInfinity):  # which draws its parts
        assert metric.distance(real.flip(0), generated) == pytest.approx(
            metric.distance(real, generated)
        )


def test_names_say_which_features():
    assert FVD().scores == ("fvd",)
    assert FD(Given()).scores == ("fd_given",)
    assert FID().scores == ("fid",)
    assert FD(FVD().features).scores == ("fd_i3d",)


def test_covariance_is_the_protocols():
    metric, real, generated = FD(Given()), draw(20, 4, 0), draw(20, 4, 1)
    metric.follow(Protocol(covariance="n"))
    assert metric.settings == {"covariance": "n", "features": {"network": "given"}}
    found = metric.distance(real, generated)["fd_given"]
    assert found == pytest.approx(frechet(real, generated, "n").value)
    assert found != pytest.approx(frechet(real, generated).value, rel=1e-3)


def test_frames_are_features_and_clips_are_resampled():
    """Frames that repeat their clip: the same Gaussian (over n), no more certainty."""
    metric = FD(Given())
    metric.follow(Protocol(covariance="n"))
    real, generated = draw(40, 6, 0), draw(40, 6, 1, shift=0.5)
    [once] = metric.compare(real, generated)
    [often] = metric.compare(*(side[:, None].expand(-1, 9, -1) for side in (real, generated)))
    assert often.value == pytest.approx(once.value)
    assert often.interval == pytest.approx(once.interval, rel=1e-4)


# --- the kernel distance ---------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [7, 1024])
@pytest.mark.parametrize("n", [30, 31])
def test_kernel_distance_equals_torchmetrics(n, chunk, monkeypatch):
    monkeypatch.setattr(kernel, "CHUNK", chunk)
    real, generated = draw(n, 12, 0).double(), draw(n, 12, 1, scale=1.4, shift=0.3).double()
    expected = poly_mmd(real, generated, degree=3, gamma=None, coef=1.0).item()
    assert kernel_distance(real, generated) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_of_uneven_sets_equals_the_sum_over_pairs():
    real, generated = draw(11, 5, 0).double(), draw(6, 5, 1, shift=0.3).double()

    def mean(pairs):
        return sum((x @ y / 5 + 1).item() ** 3 for x, y in pairs) / len(pairs)

    def within(side):
        return mean([(x, y) for i, x in enumerate(side) for j, y in enumerate(side) if i != j])

    expected = (
        within(real) + within(generated) - 2 * mean([(x, y) for x in real for y in generated])
    )
    assert kernel_distance(real, generated) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_has_no_bias():
    """Of equal distributions it is zero on average, at any number of clips."""
    found = torch.tensor(
        [kernel_distance(draw(8, 5, i), draw(12, 5, i + 1000)) for i in range(400)]
    )
    assert abs(found.mean()) < 3 * found.std() / 400**0.5
    assert found.min() < 0 < found.max()


@pytest.mark.parametrize(("n", "m"), [(40, 30), (5, 60)])
def test_kernel_distances_without_groups_are_those_taken_again(n, m):
    real, generated = draw(n, 6, 0), draw(m, 6, 1, shift=0.2)
    value, found = leave_out_kernel(real, generated)
    expected = leave_out(kernel_distance, real, generated)
    assert value == pytest.approx(kernel_distance(real, generated))
    torch.testing.assert_close(found.real, expected.real)
    torch.testing.assert_close(found.generated, expected.generated)


# --- precision and recall --------------------------------------------------------------------


def share_inside(centres, queries, k):
    """By brute force: the share of queries within some centre's k-th neighbour's distance."""
    reach = []
    for i, centre in enumerate(centres):
        others = sorted((centre - o).norm().item() for j, o in enumerate(centres) if i != j)
        reach.append((centre, others[k - 1]))
    inside = sum(any((q - c).norm().item() <= far for c, far in reach) for q in queries)
    return inside / len(queries)


@pytest.mark.parametrize("chunk", [5, 1024])
@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_equal_brute_force(k, chunk, monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    real, generated = draw(24, 4, 0).double(), draw(17, 4, 1, scale=1.5).double()
    (precision, left), (recall, _) = precision_and_recall(real, generated, k)
    assert 0 < precision < 1
    assert precision == pytest.approx(share_inside(real, generated, k))
    assert recall == pytest.approx(share_inside(generated, real, k))
    expected = leave_out(lambda x, y: share_inside(x, y, k), real, generated)
    torch.testing.assert_close(left.real, expected.real)
    torch.testing.assert_close(left.generated, expected.generated)


def test_copies_and_strangers():
    real = draw(20, 4, 0)
    same = PrecisionRecall().distance(real, real)
    assert same == {"precision": 1, "recall": 1}
    assert PrecisionRecall().distance(real, real + 50) == {"precision": 0, "recall": 0}
    # One mode only: precise, with little recall.
    narrow = PrecisionRecall().distance(draw(200, 4, 0), draw(200, 4, 1, scale=0.2))
    assert narrow["precision"] > 0.95
    assert narrow["recall"] < 0.3


def test_the_same_clip_many_times_is_itself():
    """Its ball has no extent, which rounding must not deny it."""
    frozen = draw(1, 64, 0, shift=100).expand(20, -1)
    assert PrecisionRecall().distance(frozen, frozen) == {"precision": 1, "recall": 1}
    assert PrecisionRecall().distance(frozen, frozen + 1e-3)["precision"] == 0


def test_too_few_clips_for_k():
    with pytest.raises(ValueError, match="at least 6 of each side"):
        PrecisionRecall(num_neighbours=5).distance(draw(5, 4, 0), draw(9, 4, 1))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        PrecisionRecall(num_neighbours=0)


# --- the noise floor -------------------------------------------------------------------------


def test_noise_floor_is_what_equal_sets_are_apart():
    metric, real = FD(Given()), draw(400, 8, 0)
    found = noise_floor(metric, real, 100)
    fresh = [
        metric.distance(draw(100, 8, 10 + i), draw(100, 8, 90 + i))["fd_given"] for i in range(40)
    ]
    assert found.mean == pytest.approx(sum(fresh) / 40, rel=0.15)
    assert found.mean < found.quantile_95 < 2 * found.mean
    assert (found.num_clips, found.repeats) == (100, 10)
    assert not found.is_upper_bound
    assert noise_floor(metric, real, 100) == found


def test_noise_floor_of_few_real_clips_says_so():
    metric, real = FD(Given()), draw(60, 8, 0)
    found = noise_floor(metric, real, 100)
    assert found.num_clips == 30
    assert found.is_upper_bound
    assert found.mean > noise_floor(metric, draw(400, 8, 0), 100).mean
    assert noise_floor(metric, real[:3], 100) is None
    assert noise_floor(PrecisionRecall(), real[:6], 100) is None


def test_metrics_are_called_on_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sets, pairs and single clips: as from features, in the order of real and generated."""
    from accumulated import Brightness, Gap, Means

    generator = torch.Generator().manual_seed(0)
    real, made = (torch.rand(5, 3, 4, 8, 8, generator=generator) * s - s / 2 for s in (1.0, 1.6))
    features = [Means()(side) for side in (real, made)]
    assert FD(Means())(real, made) == {"fd_means": frechet(*features).value}
    monkeypatch.setattr(I3D, "extract", lambda self, clips: Means().extract(clips))
    monkeypatch.setattr(I3D, "min_frames", 2)
    assert FVD()(real, made) == {"fvd": frechet(*features).value}
    assert Gap()(real, made)["gap"] == pytest.approx((made - real).mean().item(), rel=1e-6)
    assert Brightness()(made)["brightness"] == pytest.approx(made.mean().item(), rel=1e-6)


@pytest.mark.parametrize("which", ["real", "generated"])
def test_clips_that_are_none_are_refused_on_either_side(which: str) -> None:
    from accumulated import Gap, Means

    good = torch.zeros(3, 3, 4, 8, 8)
    bad = {"got torch.uint8": good.to(torch.uint8), "axis 2 has 3": good.transpose(1, 2),
           "got values from 7 to 7": good + 7, "frames": good[:, :, :1]}  # fmt: skip
    for said, clips in bad.items():
        sides = {"real": good, "generated": good, which: clips}
        for metric in (FD(Means()), Gap()):
            with pytest.raises(ValueError, match=f"{said}|shapes differ"):
                metric(**sides)
