"""How much faster is the Fréchet distance than with ``scipy.linalg.sqrtm``? (``vidiff_eval``)

    python experiments/benchmarks/frechet.py [--rounds 3]

Of two sets whose covariances' eigenvalues fall as 1/k: by ``vidiff_eval.statistics.frechet``, and
as FVD and FID tools do it (``numpy.cov``, ``sqrtm`` of the product of both covariances, its real
part). Prints the time of theirs over that of ours, from features and from means and covariances
that are there already, for each size and in total; how far the distances are apart; and the time
of an interval over that of its distance.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from vidiff_eval.statistics.frechet import Moments, frechet, frechet_of_moments
from vidiff_eval.statistics.frechet_left_out import leave_out_frechet

SIZES = ((2048, 400), (10_000, 2048))


def make_features(num_clips: int, width: int, *, seed: int, scale: float) -> Tensor:
    """Features (num_clips, width) of a Gaussian in directions of their own, float32."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    deviations = torch.arange(1, width + 1) ** -0.5
    noise = torch.randn(num_clips, width, generator=generator)
    return scale * (noise * deviations) @ turn + 0.1 * scale


def fit(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d)."""
    return features.mean(0, dtype=np.float64), np.cov(features, rowvar=False)


def by_root(real: tuple[np.ndarray, np.ndarray], generated: tuple[np.ndarray, np.ndarray]) -> float:
    """The squared Fréchet distance by a root of the product of covariances."""
    (mean1, cov1), (mean2, cov2) = real, generated
    root = scipy.linalg.sqrtm(cov1 @ cov2).real
    return float(np.square(mean1 - mean2).sum() + np.trace(cov1 + cov2 - 2 * root))


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    total: Counter[str] = Counter()
    for num_clips, width in SIZES:
        sides = [
            make_features(num_clips, width, seed=seed, scale=scale)
            for seed, scale in ((0, 1.0), (1, 1.2))
        ]
        moments = [Moments.of(side.double()) for side in sides]
        arrays = [side.numpy() for side in sides]
        fitted = [fit(side) for side in arrays]
        apart = abs(frechet(*sides).value / by_root(*fitted) - 1)
        ways = {
            "ours": partial(frechet, *sides),
            "theirs": lambda arrays=arrays: by_root(*map(fit, arrays)),
            "ours, fitted": partial(frechet_of_moments, *moments),
            "theirs, fitted": partial(by_root, *fitted),
            "interval": partial(leave_out_frechet, *sides),
        }
        seconds = {name: median_seconds(way, rounds) for name, way in ways.items()}
        total.update(seconds)
        print(
            f"{num_clips} x {width}: {ratios(seconds)}; relative difference {apart:.0e}; "
            f"interval / ours = {seconds['interval'] / seconds['ours']:.0f}",
            flush=True,
        )
    print(f"in total: {ratios(total)}")


def median_seconds(way: Callable[[], object], rounds: int) -> float:
    """Of one way after the other, not in turns: scipy's threads go on spinning for a while.

    After a call of scipy, so they take cores from the torch call that follows, and the other way
    round.
    """
    way()
    time.sleep(0.3)
    way()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def ratios(seconds: Mapping[str, float]) -> str:
    """Theirs over ours, in words."""
    features = seconds["theirs"] / seconds["ours"]
    fitted = seconds["theirs, fitted"] / seconds["ours, fitted"]
    return f"sqrtm / ours = {features:.1f} from features, {fitted:.1f} from covariances"


if __name__ == "__main__":
    main()
