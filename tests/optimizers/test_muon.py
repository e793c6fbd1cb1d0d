"""Muon against torch's own, and what its update is."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vidiff.optimizers import muon
from vidiff.optimizers.muon import NEWTON_SCHULZ, Muon, orthogonalise


def parameters(*shapes):
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in shapes]


def test_matrices_move_as_with_torchs_muon():
    shapes = [(8, 8), (16, 8), (8, 16), (16, 8)]
    ours, theirs = parameters(*shapes), parameters(*shapes)
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}
    steps = Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for _ in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in steps:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=0.02, rtol=0.02)  # torch's is in bfloat16


def test_a_kernel_moves_as_the_matrix_that_it_is():
    kernel, matrix = parameters((8, 4, 3, 3, 3), (8, 4 * 27))
    matrix.data.copy_(kernel.data.flatten(1))
    kernel.grad = torch.randn_like(kernel)
    matrix.grad = kernel.grad.flatten(1)
    for parameter in (kernel, matrix):
        Muon([parameter]).step()
    torch.testing.assert_close(kernel.flatten(1), matrix)


def test_an_update_has_singular_values_near_one():
    for shape in ((3, 8, 32), (3, 32, 8), (3, 16, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert 0.5 < values.min() <= values.max() < 1.3


@pytest.mark.parametrize("shape", [(3, 8, 32), (3, 32, 8), (3, 16, 16)])
def test_the_iteration_is_a_polynomial_of_singular_values(shape):
    matrices = torch.randn(shape, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrices, full_matrices=False)
    s = s / s.norm(dim=-1, keepdim=True)
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    expected = u @ (s[..., None] * v)
    found = orthogonalise(matrices, dtype=torch.float32)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    half = orthogonalise(matrices, dtype=torch.bfloat16)
    assert (half - expected).norm() < 0.03 * expected.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_are_in_the_type_that_the_device_is_fast_in(monkeypatch, dtype):
    monkeypatch.setattr(muon, "compute_dtype", lambda device: dtype)
    (matrix,) = parameters((8, 8))
    matrix.grad = torch.randn_like(matrix)
    with Products() as products:
        Muon([matrix]).step()
    assert products.dtypes == {dtype}
    assert matrix.dtype == torch.float32


class Products(TorchDispatchMode):
    """Remembers the types of what is multiplied."""

    def __init__(self):
        super().__init__()
        self.dtypes = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.bmm, torch.ops.aten.baddbmm, torch.ops.aten.mm):
            self.dtypes |= {x.dtype for x in args if isinstance(x, torch.Tensor)}
        return func(*args, **(kwargs or {}))


def test_state_survives_a_checkpoint():
    (first, second) = parameters((8, 8), (8, 8))
    one, other = Muon([first]), Muon([second])
    second.data.copy_(first.data)
    first.grad = torch.randn_like(first)
    one.step()
    second.data.copy_(first.data)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    first.grad = torch.randn_like(first)
    second.grad = first.grad.clone()
    one.step()
    other.step()
    assert torch.equal(first, second)


def test_vectors_are_refused():
    with pytest.raises(ValueError, match=r"a parameter of shape \[8\]: give it to AdamW"):
        Muon(parameters((8,)))
