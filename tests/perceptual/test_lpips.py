import sys
import types

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torchmetrics.functional.image.lpips import _LPIPS

from vidiff.perceptual import LPIPS
from vidiff.perceptual.backbones import BACKBONES
from vidiff.perceptual.weights import FILES, find_weights
from vidiff.testing import check_component

TORCHVISION = {"alex": torchvision.models.alexnet, "vgg": torchvision.models.vgg16}


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """Files in torchvision's layout, by backbone, of random weights; without the classifier."""
    files, folder = {}, tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name, make in TORCHVISION.items():
            state = {f"features.{k}": v for k, v in make().features.state_dict().items()}
            files[name] = folder / FILES[name][0]
            torch.save(state, files[name])
    return files


def videos(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(2, 2, 3, 3, size, size, generator=generator) * 2 - 1).unbind(0)


def frame_by_frame(network, a, b):
    """An image network's distance, averaged over frames."""
    with torch.no_grad():
        frames = [network(a[:, :, f], b[:, :, f]).flatten() for f in range(a.shape[2])]
    return torch.stack(frames).mean(0)


@pytest.fixture
def stlpips(monkeypatch):
    """The reference implementation; what it imports and these tests do not need is left empty."""
    for name, word in (("IPython", "embed"), ("torchsummary", "summary")):
        module = types.ModuleType(name)
        setattr(module, word, None)
        monkeypatch.setitem(sys.modules, name, module)
    return pytest.importorskip("stlpips_pytorch.stlpips")


@pytest.mark.parametrize(("backbone", "size"), [("alex", 64), ("alex", 45), ("vgg", 32)])
def test_equals_torchmetrics(random_weights, backbone, size):
    reference = _LPIPS(net=backbone, pnet_rand=True)
    weights = torch.load(random_weights[backbone], weights_only=True)
    for ours, theirs in zip(weights.values(), reference.net.state_dict().values(), strict=True):
        theirs.copy_(ours)
    ours = LPIPS(weights=str(random_weights[backbone]), backbone=backbone)
    assert ours.variant == f"lpips-{backbone}"
    a, b = videos(size)
    torch.testing.assert_close(ours(a, b), frame_by_frame(reference, a, b), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("backbone", "size"), [("alex", 33), ("vgg", 34)])
def test_equals_stlpips(stlpips, monkeypatch, backbone, size):
    monkeypatch.delenv("VIDIFF_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", "nothing-here")
    ours = LPIPS(backbone=backbone)
    assert ours.variant == f"st-lpips-{backbone}"
    reference = stlpips.LPIPS(net=backbone, variant="shift_tolerant", verbose=False)
    a, b = videos(size)
    torch.testing.assert_close(ours(a, b), frame_by_frame(reference, a, b), rtol=1e-4, atol=1e-6)


def test_a_whole_network_brings_its_linear_weights(tmp_path):
    network = _LPIPS(net="alex", pretrained=False, pnet_rand=True)
    with torch.no_grad():
        for layer in network.lins:
            layer.model[1].weight.uniform_(0, 1)
    unique = {k: v.clone() for k, v in network.state_dict().items() if not k.startswith("lins")}
    save_file(unique, tmp_path / "whole.safetensors")
    a, b = videos(32)
    ours = LPIPS(weights=str(tmp_path / "whole.safetensors"), backbone="alex")
    torch.testing.assert_close(ours(a, b), frame_by_frame(network, a, b), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("shift_tolerant", [False, True])
@pytest.mark.parametrize("backbone", ["alex", "vgg"])
def test_smallest_size_is_the_smallest(backbone, shift_tolerant):
    network = BACKBONES[backbone](shift_tolerant)
    network(torch.zeros(1, 3, network.min_size, network.min_size))
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, network.min_size - 1, network.min_size - 1))


def test_refuses_frames_that_are_too_small(random_weights):
    distance = LPIPS(weights=str(random_weights["alex"]), backbone="alex")
    with pytest.raises(ValueError, match="at least 31 x 31 pixels, got 30 x 30"):
        distance(*videos(30))


def test_flat_frames_have_finite_gradients(random_weights):
    distance = LPIPS(weights=str(random_weights["alex"]), backbone="alex")
    pixels = torch.zeros(1, 3, 1, 32, 32, requires_grad=True)
    distance(pixels, torch.zeros_like(pixels)).sum().backward()
    assert pixels.grad.isfinite().all()


def test_keeps_the_promises_of_its_kind(random_weights):
    check_component("perceptual", "lpips", weights=str(random_weights["alex"]), backbone="alex")


def test_where_it_looks(tmp_path, monkeypatch, random_weights):
    hub = tmp_path / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("VIDIFF_WEIGHTS", raising=False)
    monkeypatch.setattr("vidiff.perceptual.weights.package_folder", lambda name: None)
    with pytest.raises(ValueError, match=r"vgg16-397923af.pth.*checkpoints.*nothing is downloaded"):
        LPIPS()
    (hub / FILES["alex"][1]).symlink_to(random_weights["alex"])
    assert find_weights("alex") == hub / FILES["alex"][1]
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(random_weights["alex"].parent))
    assert find_weights("alex") == random_weights["alex"]
    assert find_weights("vgg") == random_weights["vgg"]


class Harmful:
    def __reduce__(self):
        return print, ("code from a file was run",)


def test_refuses_other_files(tmp_path, random_weights, capsys):
    cases = {
        "missing.pth": (None, "do not exist"),
        "pickle.pth": (Harmful(), "cannot be read as weights"),
        "tensor.pth": (torch.ones(2), "expected a dict of weights"),
        "linear.pth": ({"lin0.model.1.weight": torch.ones(1, 64, 1, 1)}, "holds no backbone"),
        "other.pth": (
            {"features.0.weight": torch.ones(8, 3, 3, 3), "features.0.bias": torch.ones(8)},
            "holds an unknown network",
        ),
    }
    for name, (content, reason) in cases.items():
        if content is not None:
            torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match=reason):
            LPIPS(weights=str(tmp_path / name))
    (tmp_path / "cut.safetensors").write_bytes(b"1234")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        LPIPS(weights=str(tmp_path / "cut.safetensors"))
    with pytest.raises(ValueError, match="holds alex, and backbone is 'vgg': set backbone to alex"):
        LPIPS(weights=str(random_weights["alex"]))
    assert "code" not in capsys.readouterr().out
