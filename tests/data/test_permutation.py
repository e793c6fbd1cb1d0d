from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from vidiff.data.order import Permutation


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 12, 16, 17, 63, 64, 65, 1000, 4097])
@pytest.mark.parametrize("key", [(0, 0), (0, 1), (7, 3)])
def test_each_number_once(length, key):
    numbers = Permutation(length, *key)(np.arange(length))
    assert sorted(numbers.tolist()) == list(range(length))


def test_orders_differ_by_key_and_repeat_by_key():
    positions = np.arange(1000)
    orders = {key: Permutation(1000, *key)(positions) for key in [(0, 0), (0, 1), (1, 0)]}
    for key, order in orders.items():
        assert (Permutation(1000, *key)(positions) == order).all()
        assert (order != positions).mean() > 0.98
        for other in orders.keys() - {key}:
            assert (orders[other] != order).mean() > 0.98


def test_any_part_can_be_asked_for_alone():
    order = Permutation(997, 5)
    assert (order(np.arange(997))[300:310] == order(np.arange(300, 310))).all()


def test_every_number_is_as_likely_at_every_position():
    length, trials = 12, 6000
    counts = np.zeros((length, length))
    for key in range(trials):
        counts[np.arange(length), Permutation(length, key)(np.arange(length))] += 1
    expected = trials / length
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    # (length - 1)^2 = 121 degrees of freedom, standard deviation sqrt(242): five of them.
    assert chi_squared < 121 + 5 * 242**0.5


def test_neighbours_land_independently():
    order = Permutation(10_000, 3)(np.arange(10_000))
    correlation = np.corrcoef(order[:-1], order[1:])[0, 1]
    assert abs(correlation) < 0.05


def test_a_long_range_takes_no_memory():
    tracemalloc.start()
    numbers = Permutation(10**8, 1)(np.arange(10**8 - 1000, 10**8))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(set(numbers.tolist())) == 1000
    assert 0 <= numbers.min() <= numbers.max() < 10**8
    assert peak < 1e6
