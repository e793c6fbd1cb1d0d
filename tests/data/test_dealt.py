"""Batches are dealt such that no process waits for another."""

import pytest

from vidiff.data.order import dealt


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("num_batches", [1, 2, 3, 7, 8])
def test_all_get_equally_many_and_every_batch_is_taken(num_batches, world_size):
    shares = [dealt(num_batches, rank, world_size) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    in_turn = [batch for step in zip(*shares, strict=True) for batch in step]
    assert in_turn[:num_batches] == list(range(num_batches))
    assert len(in_turn) < num_batches + world_size


def test_nothing_to_deal():
    assert dealt(0, 1, 2) == []
