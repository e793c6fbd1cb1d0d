"""The kind ``flow``: chosen by name with its own settings, open to plugins, keys as ever."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.optical_flow import raft_large, raft_small

from vidiff.errors import UsageError
from vidiff.files import sha256
from vidiff.plugins import load_plugins
from vidiff.registry import get_kind
from vidiff.testing import check_component
from vidiff_eval.commands.options import make_metric
from vidiff_eval.extraction.store import Store
from vidiff_eval.features.motion import MotionFeatures
from vidiff_eval.metrics import Motion, ShotCuts, WarpingError
from vidiff_eval.networks.flow import RAFT
from vidiff_eval.networks.flow.raft import UPDATES, load_raft
from vidiff_eval.protocols.protocol import fingerprint
from vidiff_eval.testing import check_metric

METRICS = {"motion": Motion, "warping_error": WarpingError, "shot_cuts": ShotCuts}
FRAMES = torch.rand(3, 3, 128, 136, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def raft_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "raft_small.pth"
    torch.save(raft_small(weights=None).state_dict(), path)
    return path


# -- Keys -----------------------------------------------------------------------------------------


def test_stored_features_and_scores_of_dis_keep_their_keys(tmp_path: Path) -> None:
    """As before flow was a kind: fingerprints with OpenCV 5.0.0."""
    found = MotionFeatures().settings
    assert found == {
        "motion": "adjacent frames", "top": 0.05, "flow": "dis", "preset": "medium",
        "opencv": cv2.__version__,
    }  # fmt: skip
    before = {"motion": "4f8fa80f717b542b", "warping_error": "5e0b8ebef069bda5",
              "shot_cuts": "c3bf457dc3c771fc"}  # fmt: skip
    of_5 = found | {"opencv": "5.0.0"}
    assert fingerprint(of_5) == "dae9c71dbc4df7b9"
    for name, metric in METRICS.items():
        settings = metric().settings
        assert settings["features"] == found
        assert fingerprint(settings | {"features": of_5}) == before[name]
    place = Store(tmp_path)._path(MotionFeatures().settings, "ab12")
    assert place == tmp_path / fingerprint(found) / "ab" / "ab12.safetensors"


def test_stored_features_of_raft_keep_their_keys(raft_file: Path) -> None:
    assert MotionFeatures(flow=partial(RAFT, weights=str(raft_file))).settings == {
        "motion": "adjacent frames", "top": 0.05, "flow": "raft",
        "weights_sha256": sha256(raft_file), "updates": 20,
    }  # fmt: skip


# -- Choosing one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRICS)
def test_a_flow_is_chosen_by_name_with_its_own_settings(name: str, raft_file: Path) -> None:
    metric = make_metric(name, ["--flow=raft", f"--flow.weights={raft_file}"])
    assert metric.settings["features"]["weights_sha256"] == sha256(raft_file)
    assert make_metric(name).settings == METRICS[name]().settings
    assert make_metric(name, ["--flow=dis"]).settings["features"]["flow"] == "dis"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--flow=raft", "--weights=raft.pth"], "no option 'weights', did you mean 'flow.weights'"),
        (["--flow=dis", "--flow.weights=raft.pth"], "weights"),
        (["--flow=pwc"], "unknown flow 'pwc'; known: dis, raft"),
    ],
)
def test_wrong_options_are_refused_in_a_line(options: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refusal:
        make_metric("motion", options)
    assert "\n" not in str(refusal.value)


PLUGIN = """
import torch
from vidiff.registry import register
from vidiff_eval.networks.flow import OpticalFlow


@register("constant")
class Constant(OpticalFlow):
    \"\"\"The same flow everywhere.

    Args:
        right: pixels.
    \"\"\"

    def __init__(self, right: float = 3.0) -> None:
        self.right = right

    @property
    def settings(self):
        return {"flow": "constant", "right": self.right}

    def estimate(self, frames, others, device="cpu"):
        n, _, h, w = frames.shape
        return torch.tensor([self.right, 0.0]).view(1, 2, 1, 1).expand(n, 2, h, w)
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("plugin") / "constant_flow_plugin.py"
    path.write_text(PLUGIN)
    load_plugins([str(path)])
    yield "constant"
    get_kind("flow").components.pop("constant")


def test_a_plugin_adds_a_flow_in_one_file(plugin: str) -> None:
    check_component("flow", plugin)
    metric = make_metric("motion", [f"--flow={plugin}", "--flow.right=1.5"])
    assert metric.settings["features"]["right"] == 1.5
    found = metric.features.extract(FRAMES.transpose(0, 1)[None])
    rows = metric.judge(found, [""])
    assert rows[0]["motion"] == pytest.approx(100 * 1.5 / 128)  # of the short side
    check_metric("motion", flow=get_kind("flow").components[plugin].cls)


def test_a_flow_that_breaks_a_promise_is_named(plugin: str) -> None:
    cls = get_kind("flow").components[plugin].cls
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cls, "estimate", lambda self, frames, *args: frames[:, :1])
        with pytest.raises(AssertionError, match=r"'constant' .*flow must be \(3, 2, 64, 72\)"):
            check_component("flow", plugin)
        patch.setattr(cls, "estimate", lambda self, frames, *args: (frames - frames[:1])[:, :2])
        with pytest.raises(AssertionError, match="depends on the others in its batch"):
            check_component("flow", plugin)


# -- RAFT -----------------------------------------------------------------------------------------


def test_raft_is_torchvisions(raft_file: Path) -> None:
    network = raft_small(weights=None).eval()
    network.load_state_dict(torch.load(raft_file, weights_only=True))
    with torch.no_grad():
        expected = network(FRAMES[:-1], FRAMES[1:], num_flow_updates=UPDATES)[-1]
    found = RAFT(weights=str(raft_file)).estimate(FRAMES[:-1], FRAMES[1:])
    torch.testing.assert_close(found, expected)


def test_raft_takes_any_size(raft_file: Path) -> None:
    small = FRAMES[:2, :, :64, :37]
    raft = partial(RAFT, weights=str(raft_file))
    assert raft().estimate(small[:1], small[1:]).shape == (1, 2, 64, 37)
    metric = WarpingError(flow=raft)
    rows = metric.judge(metric.features.extract(small.transpose(0, 1)[None]), [""])
    assert set(rows[0]) == {"warping_error", "visible_share"}


def test_raft_is_told_by_its_weights(raft_file: Path, tmp_path: Path) -> None:
    assert type(load_raft(raft_file)).__name__ == "RAFT"
    large, path = raft_large(weights=None), tmp_path / "raft_large.safetensors"
    save_file(large.state_dict(), path)
    loaded = load_raft(path)
    assert sum(p.numel() for p in loaded.parameters()) == sum(p.numel() for p in large.parameters())
    settings = [RAFT(weights=str(file)).settings for file in (raft_file, path)]
    assert settings[0]["flow"] == "raft"
    assert settings[0]["weights_sha256"] != settings[1]["weights_sha256"]


def test_raft_is_looked_for(
    raft_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(raft_file.parent))
    assert RAFT().path == raft_file
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("DNNLIB_CACHE_DIR", str(tmp_path / "dnnlib"))
    with pytest.raises(ValueError, match="no weights of RAFT were found: looked for raft_large"):
        _ = Motion(flow=RAFT).settings


def test_files_that_are_no_raft_are_refused(tmp_path: Path) -> None:
    other, broken = tmp_path / "other.pth", tmp_path / "broken.pth"
    torch.save({"fnet.conv1.weight": torch.zeros(1)}, other)
    broken.write_bytes(b"no weights")
    cut = tmp_path / "cut.pth"
    torch.save({"feature_encoder.convnormrelu.0.weight": torch.zeros(32, 3, 7, 7)}, cut)
    for path, words in (
        (other, "holds no RAFT of torchvision.*first keys: fnet.conv1.weight"),
        (broken, "broken.pth cannot be read as weights"),
        (cut, "does not fit torchvision's RAFT"),
        (tmp_path / "none.pth", "none.pth is not a file"),
    ):
        with pytest.raises(ValueError, match=words):
            load_raft(path)
