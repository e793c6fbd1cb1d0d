"""Inception's features of frames: the same as clean-fid's own code finds of the same pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from vidiff_eval.features.inception import Inception
from vidiff_eval.networks.inception import find_inception

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


class StandIn(torch.nn.Module):
    """As the file of clean-fid: ``layers`` for inputs in [-1, 1), and a whole that resizes."""

    def __init__(self, features=2048):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.AvgPool2d(64), torch.nn.Flatten(), torch.nn.Linear(48, features)
        )

    def forward(self, x):
        return self.layers(x)


@pytest.fixture
def weights(tmp_path):
    return write(StandIn(), tmp_path / "inception-2015-12-05.pt")


def write(module, path):
    torch.manual_seed(0)
    torch.jit.save(torch.jit.script(module), str(path))
    return str(path)


def random_clips(*size):
    generator = torch.Generator().manual_seed(1)
    levels = torch.randint(0, 256, (size[0], 3, *size[1:]), generator=generator)
    return levels.float() / 127.5 - 1, levels.to(torch.uint8)


def test_features_are_those_of_clean_fid(weights, tmp_path):
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    clips, levels = random_clips(2, 18, 40, 60)
    found = Inception(weights=weights).extract(clips)["features"]
    assert found.shape == (2, 18, 2048)
    network, resize = InceptionV3W(str(tmp_path), download=False), build_resizer("clean")
    for clip in range(2):
        pictures = levels[clip].permute(1, 2, 3, 0).numpy()
        resized = torch.from_numpy(np.stack([resize(picture) for picture in pictures]))
        with torch.no_grad():
            expected = network(resized.permute(0, 3, 1, 2))
        torch.testing.assert_close(found[clip], expected)


def test_frames_are_resized_by_an_antialiased_cubic_filter(weights):
    """Pillow's, on floats, channel by channel (Parmar et al. 2022), without rounding after."""
    clips, levels = random_clips(1, 1, 600, 450)
    features = Inception(weights=weights)
    seen = []
    network = features.network
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    features(clips)
    for channel in range(3):
        picture = Image.fromarray(levels[0, channel, 0].numpy().astype(np.float32), mode="F")
        expected = np.asarray(picture.resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
        np.testing.assert_allclose(seen[0][0, channel].numpy(), expected, atol=1e-4)


def test_features_of_a_clip_are_its_own(weights):
    clips, _ = random_clips(3, 4, 20, 20)
    features = Inception(weights=weights)
    assert torch.equal(features(clips)[1:2], features(clips[1:2]))
    assert not features(clips).requires_grad


def test_settings_name_the_weights_by_content(weights, tmp_path):
    settings = Inception(weights=weights).settings
    assert settings["network"] == "inception"
    assert len(settings["weights_sha256"]) == 64
    other = write(StandIn(), tmp_path / "other.pt")
    (tmp_path / "copy.pt").write_bytes((tmp_path / "inception-2015-12-05.pt").read_bytes())
    assert Inception(weights=str(tmp_path / "copy.pt")).settings == settings
    assert Inception(weights=other).settings["size"] == 299


def test_weights_are_looked_for_in_named_places(tmp_path, monkeypatch):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME", "DNNLIB_CACHE_DIR", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("vidiff_eval.networks.inception.CLEAN_FID", tmp_path / "clean-fid")
    with pytest.raises(ValueError, match=f"looked for inception-2015.* in {tmp_path}, .*clean-fid"):
        _ = Inception().settings
    for file in ("home/.cache/dnnlib/downloads/0a_inception-2015-12-05.pt", "clean-fid"):
        path = tmp_path / file
        if file == "clean-fid":
            path = path / "inception-2015-12-05.pt"
        path.parent.mkdir(parents=True)
        path.touch()
        assert find_inception() == path
    (tmp_path / "my_inception.pt").touch()
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(tmp_path / "my_inception.pt"))
    assert find_inception() == tmp_path / "my_inception.pt"


def test_other_files_are_refused(tmp_path):
    clips, _ = random_clips(1, 1, 20, 20)
    few = write(StandIn(features=1000), tmp_path / "few.pt")
    with pytest.raises(ValueError, match="1000 features of a frame, not 2048"):
        Inception(weights=few)(clips)
    flat = write(torch.nn.Linear(2, 2), tmp_path / "flat.pt")
    with pytest.raises(ValueError, match=r"flat\.pt has no layers"):
        Inception(weights=flat)(clips)
    torch.save(StandIn().state_dict(), tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"state\.pt is no TorchScript"):
        Inception(weights=str(tmp_path / "state.pt"))(clips)
    with pytest.raises(ValueError, match=r"nowhere\.pt do not exist"):
        _ = Inception(weights=str(tmp_path / "nowhere.pt")).settings
