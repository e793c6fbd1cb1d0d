"""I3D with its published weights: the figures of the TensorFlow network, and what is refused."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vidiff.reconstruction import Reconstruction
from vidiff_eval.features.i3d import pad_same, resize
from vidiff_eval.features.weights import find_weights, load_i3d, read_weights
from vidiff_eval.frechet import Moments, frechet_distance
from vidiff_eval.reconstruction import RFVD


@pytest.fixture(scope="module")
def weights():
    try:
        return str(find_weights())
    except ValueError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def rfvd(weights):
    return RFVD(weights=weights)


def reconstruction(pixels, reference):
    return Reconstruction(pixels, reference, torch.zeros(len(pixels), 1, 1, 1, 1))


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        (9, 492.63),
        pytest.param(10, 569.77, marks=pytest.mark.slow),
        pytest.param(16, 152.90, marks=pytest.mark.slow),
        pytest.param(30, 151.39244, marks=pytest.mark.slow),
    ],
)
def test_black_and_white_are_as_far_apart_as_in_tensorflow(rfvd, num_frames, expected):
    """At 30 frames, the value that was published with the TensorFlow code."""
    with torch.no_grad():
        sides = [
            Moments.of(rfvd.features(torch.full((1, 3, num_frames, 224, 224), level)))
            for level in (-1.0, 1.0)
        ]
    assert frechet_distance(*sides).item() == pytest.approx(expected, rel=3e-5)


def test_rfvd_of_summed_batches_is_that_of_all_features(rfvd):
    reference = torch.rand(3, 3, 9, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = reference.roll(1, dims=4) * 0.5
    with torch.no_grad():
        batches = [
            rfvd.measure(reconstruction(pixels[part], reference[part]))
            for part in (slice(0, 1), slice(1, 3))
        ]
        figures = rfvd.summarise({name: batches[0][name] + batches[1][name] for name in batches[0]})
        a, b = (rfvd.i3d(resize(x)).double() for x in (pixels, reference))
    # With n < d, tr (S1 S2)^½ is the nuclear norm of the centred features' products.
    x, y = ((f - f.mean(0)) / 2**0.5 for f in (a, b))
    expected = (a.mean(0) - b.mean(0)).square().sum() + x.square().sum() + y.square().sum()
    expected -= 2 * torch.linalg.svdvals(x @ y.T).sum()
    assert figures["rfvd"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert figures["rfvd_num_videos"] == 3


def test_rfvd_says_what_it_cannot_measure(rfvd):
    short = torch.zeros(1, 3, 8, 16, 16)
    with pytest.raises(ValueError, match="at least 9 frames, as I3D does, got 8"):
        rfvd.measure(reconstruction(short, short))
    one = {"count": torch.ones(()), "sum": torch.zeros(400), "outer": torch.zeros(400, 400)}
    sums = {f"{side}_{k}": v for side in ("pixels", "reference") for k, v in one.items()}
    with pytest.warns(UserWarning, match="one video has no covariance"):
        assert rfvd.summarise(sums) == {}


def test_a_state_dict_of_a_pytorch_copy_is_read_too(rfvd, tmp_path):
    state = rfvd.i3d.state_dict()
    torch.save(state, tmp_path / "i3d_pretrained_400.pt")
    save_file(state, tmp_path / "i3d.safetensors")
    for name in ("i3d_pretrained_400.pt", "i3d.safetensors"):
        for key, value in load_i3d(str(tmp_path / name)).state_dict().items():
            assert torch.equal(value, state[key])


class Harmful:
    def __reduce__(self):
        return print, ("called",)


def test_a_pickle_that_calls_anything_is_refused(tmp_path, capsys):
    path = tmp_path / "i3d-kinetics-400.ckpt"
    path.write_bytes(pickle.dumps({"params": {"a": np.zeros(2), "b": Harmful()}}))
    with pytest.raises(ValueError, match=r"i3d-kinetics-400\.ckpt cannot be read.*builtins\.print"):
        read_weights(path)
    assert capsys.readouterr().out == ""


def test_weights_that_do_not_fit_or_are_missing_are_named(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt does not hold the weights of I3D"):
        load_i3d(str(tmp_path / "other.pt"))
    (tmp_path / "broken.ckpt").write_bytes(b"\x80nothing")
    with pytest.raises(ValueError, match=r"broken\.ckpt cannot be read"):
        load_i3d(str(tmp_path / "broken.ckpt"))
    with pytest.raises(ValueError, match=r"nowhere\.pt do not exist"):
        load_i3d(str(tmp_path / "nowhere.pt"))
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("vidiff_eval.features.weights.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"looked for i3d-kinetics-400.ckpt .* in {tmp_path}, "):
        find_weights()
    (tmp_path / "i3d_pretrained_400.pt").touch()
    assert find_weights() == tmp_path / "i3d_pretrained_400.pt"


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (3, 1), (2, 2), (1, 1)])
def test_padding_is_tensorflows(size, kernel, stride):
    """TensorFlow's documentation: ceil(size / stride) places, less padding before than after."""
    x = torch.arange(1.0, size + 1).view(1, 1, size, 1, 1)
    padded = pad_same(x, (kernel, 1, 1), (stride, 1, 1)).flatten()
    windows = padded.unfold(0, kernel, stride)
    assert len(windows) == -(-size // stride)
    before = padded.nonzero()[0].item()
    after = len(padded) - before - size
    assert after - before in (0, 1)


def test_frames_are_stretched_between_pixel_centres():
    ramp = torch.arange(4.0).view(1, 1, 1, 1, 4).expand(1, 3, 1, 2, 4)
    stretched = resize(ramp)
    assert stretched.shape == (1, 3, 1, 224, 224)
    centres = (torch.arange(224) + 0.5) * 4 / 224 - 0.5
    torch.testing.assert_close(stretched[0, 0, 0, 7], centres.clamp(0, 3))
