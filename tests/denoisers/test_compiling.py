"""Compiling by block: one graph a block, one compilation for blocks of one shape and all sizes.

Compilations are counted by a backend that compiles nothing.
"""

import itertools

import pytest
import torch
from test_dit import REFUSED, awake, build, names_of, text

from vidiff.denoisers import Denoiser, UNet, compile_blocks
from vidiff.types import SignalDims

SIZE = (3, 4, 4, 6)
PAIRS = [
    ("adaln", "alternating", "rope"),
    ("adaln_single", "full", "factorised"),
    ("adaln_zero", "late", "sincos"),
    ("cross_attention", "serial", "rope"),
    ("in_context", "split_heads", "learned"),
    ("joint", "windowed", "rope"),
]
"""Each way of conditioning, attention and positions once; the slow test has all pairs."""


class Counted:
    """A backend that runs a graph as it is, and counts graphs."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, inputs):
        self.count += 1
        return graph.forward


@pytest.fixture
def backend():
    torch._dynamo.reset()
    yield Counted()
    torch._dynamo.reset()


def compiled_pair(names, backend, **settings):
    """A model, and one of the same weights whose blocks are compiled without a graph break."""
    torch.manual_seed(0)
    eager = awake(build((*names, "tubelet"), **settings))
    compiled = build((*names, "tubelet"), **settings)
    compiled.load_state_dict(eager.state_dict())
    compile_blocks(compiled, backend=backend, fullgraph=True)
    return eager, compiled


def step(model, size=SIZE, length=5, batch=2, per_frame=False):
    """Output and gradients."""
    torch.manual_seed(0)
    latents, signals = torch.randn(batch, *size), {"text": text(batch, length, real=3)}
    out = model(latents, torch.rand((batch, size[1]) if per_frame else batch), signals)
    return out, torch.autograd.grad(out.square().sum(), model.blocks.parameters())


def check(names, backend, **settings):
    eager, compiled = compiled_pair(names, backend)
    torch.testing.assert_close(step(eager, **settings), step(compiled, **settings))
    assert 1 <= backend.count <= 2
    assert eager.state_dict().keys() == compiled.state_dict().keys()


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_a_block_is_one_graph_and_gives_the_same(names, backend):
    check(names, backend)


@pytest.mark.parametrize("names", [PAIRS[0], PAIRS[5]], ids="-".join)
def test_a_block_with_a_time_of_its_own_for_each_frame_is_one_graph(names, backend):
    check(names, backend, per_frame=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    list(itertools.product(names_of("conditioning"), names_of("attention"), ("rope", "sincos"))),
    ids="-".join,
)
def test_every_pair_is_one_graph(names, backend):
    if names[:2] in REFUSED:
        pytest.skip(REFUSED[names[:2]])
    check(names, backend)


@pytest.mark.parametrize("attention", ["alternating", "late"])
def test_blocks_of_one_shape_are_compiled_once(attention, backend):
    _, compiled = compiled_pair(("adaln_zero", attention, "rope"), backend, depth=6)
    step(compiled)
    assert backend.count == 2  # spatial and temporal


@pytest.mark.parametrize(
    "names", [PAIRS[0], pytest.param(PAIRS[5], marks=pytest.mark.slow)], ids="-".join
)
def test_new_sizes_do_not_compile_again(names, backend):
    _, compiled = compiled_pair(names, backend)
    step(compiled)
    once = backend.count
    for size, length, batch in [((3, 6, 8, 8), 7, 3), ((3, 8, 12, 8), 6, 2)]:
        step(compiled, size, length, batch)
    general = backend.count
    assert general <= 2 * once + 1
    for size, length, batch in [((3, 10, 8, 16), 4, 4), ((3, 12, 16, 12), 9, 5)]:
        step(compiled, size, length, batch)
    assert backend.count == general


@pytest.mark.parametrize("attention", [[], pytest.param([1], marks=pytest.mark.slow)])
def test_blocks_of_a_unet_are_compiled_once_for_each_shape(attention, backend):
    settings = {"in_channels": 3, "out_channels": 3, "width": 8, "num_heads": 2}
    settings |= {"multipliers": [1, 2], "depth": 2, "attention_levels": attention}
    settings |= {"signals": {"text": SignalDims(vector=8, tokens=8)}}
    torch.manual_seed(0)
    eager, compiled = awake(UNet(**settings)), UNet(**settings)
    compiled.load_state_dict(eager.state_dict())
    compile_blocks(compiled, backend=backend, fullgraph=True)
    inputs = torch.randn(2, 3, 3, 8, 8), torch.rand(2), {"text": text()}
    torch.testing.assert_close(eager(*inputs), compiled(*inputs))
    # Of nine blocks: down and up at both levels; one of these may get another order of memory too.
    assert 4 <= backend.count <= 5


def test_without_a_compiler_nothing_is_compiled(backend, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.warns(UserWarning, match=r"needs a C\+\+ compiler, and none was found"):
        _, compiled = compiled_pair(PAIRS[0], backend)
    step(compiled)
    assert backend.count == 0


def test_a_network_without_blocks_is_compiled_whole(backend):
    class Whole(Denoiser):
        def forward(self, latents, t, signals=None):
            return 2 * latents

    whole = Whole(in_channels=3, out_channels=3)
    compile_blocks(whole, backend=backend, fullgraph=True)
    assert (whole(torch.ones(1, 3, 1, 2, 2), torch.zeros(1)) == 2).all()
    assert backend.count == 1


@pytest.mark.slow
def test_inductor_gives_the_same():
    torch._dynamo.reset()
    for names in PAIRS:
        eager, compiled = compiled_pair(names, "inductor")
        torch.testing.assert_close(step(eager), step(compiled), atol=1e-4, rtol=1e-3)
