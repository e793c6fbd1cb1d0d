"""Files of weights are looked for in places that the user can name, and nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidiff.weight_search import caches, find_file, package_folder


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two folders; the second has both files, the first the less wanted one."""
    monkeypatch.delenv("VIDIFF_WEIGHTS", raising=False)
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder, names in zip(folders, (["b.pth"], ["a.pth", "b.pth"]), strict=True):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    return folders


def find(places: list[Path]) -> Path:
    return find_file("net", ["a.pth", "b.*"], places, hint=", or ask")


def test_the_first_place_counts_then_the_best_name(places: list[Path]) -> None:
    assert find(places) == places[0] / "b.pth"
    assert find(places[1:]) == places[1] / "a.pth"


def test_the_variable_names_a_folder_or_a_file_of_this_network(
    places: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(places[1]))
    assert find(places[:1]) == places[1] / "a.pth"
    mine, other = tmp_path / "my-Net.pth", tmp_path / "other.pth"
    for path in (mine, other):
        path.touch()
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(mine))
    assert find(places) == mine
    monkeypatch.setenv("VIDIFF_WEIGHTS", str(other))
    assert find(places) == places[0] / "b.pth"


def test_what_is_missing_is_named_with_the_places_and_the_next_step(
    places: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"no weights of net .* a\.pth, b\.\* in .*nowhere.*") as e:
        find([tmp_path / "nowhere"])
    assert "VIDIFF_WEIGHTS" in str(e.value)
    assert str(e.value).endswith("its folder, or ask; nothing is downloaded")


def test_caches_follow_their_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    for name in ("TORCH_HOME", "DNNLIB_CACHE_DIR", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folders = ["TORCH_HOME/hub/checkpoints", "DNNLIB_CACHE_DIR/downloads", "HF_HOME/hub"]
    assert caches() == [tmp_path / folder for folder in folders]


def test_a_package_is_found_without_importing_it() -> None:
    folder = package_folder("torchmetrics")
    assert folder is not None
    assert (folder / "__init__.py").is_file()
    assert package_folder("no_such_package") is None
