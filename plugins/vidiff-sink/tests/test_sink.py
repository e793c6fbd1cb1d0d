from __future__ import annotations

import torch
from vidiff_sink import Sink

from vidiff.attention import Full
from vidiff.positions import Layout
from vidiff.testing import check_component


def test_keeps_the_promises_of_its_kind() -> None:
    check_component("attention", "sink")
    check_component("attention", "sink", qk_norm=True)


def test_a_sink_that_is_never_looked_at_changes_nothing_and_one_that_is_takes_the_output() -> None:
    torch.manual_seed(0)
    dimensions = {"width": 16, "num_heads": 2, "block": 0, "num_blocks": 1}
    sink, full = Sink(**dimensions), Full(**dimensions)
    full.load_state_dict({k: v for k, v in sink.state_dict().items() if k != "sink"})
    tokens, layout = torch.randn(2, 6, 16), Layout((1, 2, 3))
    with torch.no_grad():
        sink.qkv.bias[:16] = full.qkv.bias[:16] = 1.0
        sink.qkv.weight[:16] = full.qkv.weight[:16] = 0.0  # all queries are ones
        sink.sink.fill_(-100.0)
        assert torch.allclose(sink(tokens, layout), full(tokens, layout), atol=1e-6)
        sink.sink.fill_(100.0)
        assert torch.allclose(sink(tokens, layout), sink.out.bias.expand(2, 6, 16), atol=1e-6)
