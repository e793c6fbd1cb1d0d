import pytest
import torch

from vidiff.discriminators import Patch3D
from vidiff.testing import check_component


@pytest.mark.parametrize("norm", ["group", "spectral", "none"])
def test_keeps_the_promises_of_its_kind(norm):
    check_component("discriminator", "patch_3d", width=8, norm=norm)


@pytest.mark.parametrize(
    ("settings", "size", "expected"),
    [
        ({}, (1, 16, 24), (1, 2, 3)),
        ({}, (17, 32, 32), (5, 4, 4)),
        ({"time_depth": 0}, (5, 16, 16), (5, 2, 2)),
        ({"depth": 1, "time_depth": 1}, (4, 3, 2), (2, 1, 1)),
    ],
)
def test_one_logit_for_each_patch(settings, size, expected):
    assert Patch3D(width=8, **settings)(torch.zeros(2, 3, *size)).shape == (2, 1, *expected)


def test_sees_a_patch_and_no_more():
    """Without norms a logit depends on a bounded stretch: 3 layers, then two 3 x 3 x 3 ones."""
    pixels = torch.randn(1, 3, 1, 8, 128, requires_grad=True)
    Patch3D(width=8, norm="none")(pixels)[..., 8].sum().backward()
    reached = pixels.grad.abs().sum((0, 1, 2, 3)).nonzero().flatten()
    # Each layer reaches (kernel - 1) x the strides before it: 3 + 6 + 12 + 16 + 16 + 1 = 54.
    assert len(reached) == reached[-1] - reached[0] + 1 == 54


def test_spectral_norm_bounds_every_layer():
    torch.manual_seed(0)
    discriminator = Patch3D(width=8, norm="spectral").train()
    for _ in range(100):
        discriminator(torch.zeros(1, 3, 1, 8, 8))
    for layer in discriminator.layers[::2]:
        largest = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]
        assert largest == pytest.approx(1, abs=0.02)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="at least 8 x 8 pixels, got 8 x 6: lower its depth"):
        Patch3D(width=8)(torch.zeros(1, 3, 1, 8, 6))
    with pytest.raises(ValueError, match="time_depth must be at least 0, got -1"):
        Patch3D(time_depth=-1)
