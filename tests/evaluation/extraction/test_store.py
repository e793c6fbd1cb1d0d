"""What is kept of clips on disk."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from vidiff_eval.extraction.store import Store, default_store
from vidiff_eval.features.base import Features, Found
from vidiff_eval.metrics.base import PairMetric, Row

KEY = "0123456789abcdef" * 4


class Means(Features):
    name: ClassVar[str] = "means"

    def __init__(self, power: int = 1) -> None:
        self.power = power

    @property
    def settings(self) -> dict[str, Any]:
        return {"features": "means", "power": self.power, "größe": [1, 2]}

    def extract(self, clips: Tensor) -> Found:
        return {"features": clips.mean((2, 3, 4)) ** self.power}


class Distance(PairMetric):
    scores = ("distance",)
    higher_is_better = False
    settings: dict[str, Any] = {}  # noqa: RUF012

    def judge(self, generated: Tensor, real: Tensor) -> list[Row]:
        return [{"distance": d} for d in (generated - real).flatten(1).norm(dim=1).tolist()]


class Other(Distance):
    scores = ("other",)


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


def test_round_trip(tmp_path: Path) -> None:
    store, features = Store(tmp_path / "store"), Means()
    assert store.get(features, KEY) is None
    assert not store.has(features, KEY)
    batch = torch.rand(1000, 16, 3)
    found = {"features": batch[3], "step": torch.tensor(7), "half": batch[3].half().T}
    store.put(features, KEY, found)
    kept = store.get(features, KEY)
    assert kept is not None
    assert kept.keys() == found.keys()
    assert all(torch.equal(kept[name], value) for name, value in found.items())
    assert all(kept[name].dtype == value.dtype for name, value in found.items())
    assert files(store.root)[0].stat().st_size < 1000, "a row is kept without its batch"
    assert not store.has(Means(2), KEY)
    assert not store.has(features, KEY[::-1])


def test_settings_can_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for power in (1, 2):
        store.put(Means(power), KEY, {"features": torch.ones(2)})
    described = [json.loads(path.read_text()) for path in tmp_path.glob("*/settings.json")]
    assert sorted(one["power"] for one in described) == [1, 2]
    assert described[0] == Means(described[0]["power"]).settings


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "longer"])
def test_damaged_file_counts_as_absent(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.put(Means(), KEY, {"features": torch.rand(64)})
    (path,) = files(tmp_path)
    data = path.read_bytes()
    path.write_bytes(
        {"cut": data[:-10], "empty": b"", "text": b"no features", "longer": data + b"\0"}[damage]
    )
    assert not store.has(Means(), KEY)
    assert store.get(Means(), KEY) is None
    store.put(Means(), KEY, {"features": torch.ones(64)})
    assert store.has(Means(), KEY)


def test_writers_at_once(tmp_path: Path) -> None:
    """Whoever reads meanwhile sees nothing or something whole, and no temporary file stays."""
    store, features = Store(tmp_path), Means()
    value = torch.rand(20_000)

    def write(_: int) -> bool:
        store.put(features, KEY, {"features": value})
        kept = store.get(features, KEY)
        return kept is not None and torch.equal(kept["features"], value)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, range(64)))
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        "settings.json",
        f"{KEY}.safetensors",
    }


def test_rows(tmp_path: Path) -> None:
    store, metric = Store(tmp_path), Distance()
    assert store.get_row(metric, KEY) is None
    row = {"distance": math.inf, "right": True, "words": ["é"], "no": None}
    store.put_row(metric, KEY, row)
    assert store.get_row(metric, KEY) == row
    assert store.get_row(Other(), KEY) is None, "a metric of equal settings is another one"
    (path,) = tmp_path.rglob(f"{KEY}.json")
    path.write_text(path.read_text()[:-4])
    assert store.get_row(metric, KEY) is None


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIDIFF_CACHE", str(tmp_path / "mine"))
    assert default_store() == tmp_path / "mine" / "features"
    monkeypatch.delenv("VIDIFF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_store() == tmp_path / "vidiff" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_store() == tmp_path / ".cache" / "vidiff" / "features"
