"""What was found of clips, on disk: by the content of the clip and by what found it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff.files import cache_folder, write_bytes, write_text
from vidiff_eval.protocols.protocol import fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff_eval.features.base import Features
    from vidiff_eval.metrics.base import PairMetric, Row

SETTINGS = "settings.json"


def default_store() -> Path:
    """``$VIDIFF_CACHE/features``, or ``features`` in the user's cache folder of vidiff."""
    return cache_folder() / "features"


class Store:
    """A folder that keeps what was found of clips: one small file for each.

    ``<fingerprint of the settings>/<two digits>/<key of the clip>.safetensors`` has the tensors
    of features; ``….json`` the row of a metric of pairs. ``settings.json`` next to them has what
    the fingerprint stands for. Files are whole or absent, so processes may share the folder, and
    an interrupted call loses nothing that it had found. Any of it may be removed.

    Args:
        root: the folder; made when something is put in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def has(self, features: Features, clip_key: str) -> bool:
        """Whether a whole file is kept; reads only its head."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path(features.settings, clip_key), framework="pt"):
                return True
        except (FileNotFoundError, SafetensorError):
            return False

    def get(self, features: Features, clip_key: str) -> dict[str, Tensor] | None:
        """The features of a clip, without the axis of clips; None where no whole file is kept."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            # Read, not mapped: a system maps only so many files at once.
            return load(self._path(features.settings, clip_key).read_bytes())
        except (FileNotFoundError, SafetensorError):  # a damaged file is found again
            return None

    def put(self, features: Features, clip_key: str, found: dict[str, Tensor]) -> None:
        """Keep the features of a clip."""
        import torch
        from safetensors.torch import save

        whole = torch.contiguous_format  # and each for itself: names may share memory
        data = save({name: value.clone(memory_format=whole) for name, value in found.items()})
        write_bytes(self._described(features.settings, clip_key), data)

    def get_row(self, metric: PairMetric, pair_key: str) -> Row | None:
        """The row of a pair of clips; None where no whole file is kept."""
        try:
            path = self._path(_settings_of_rows(metric), pair_key, "json")
            row = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return row if isinstance(row, dict) else None

    def put_row(self, metric: PairMetric, pair_key: str, row: Row) -> None:
        """Keep the row of a pair of clips; infinity is kept as it is."""
        path = self._described(_settings_of_rows(metric), pair_key, "json")
        write_text(path, json.dumps(row))

    def _path(self, settings: dict[str, Any], key: str, suffix: str = "safetensors") -> Path:
        return self.root / fingerprint(settings) / key[:2] / f"{key}.{suffix}"

    def _described(self, settings: dict[str, Any], key: str, suffix: str = "safetensors") -> Path:
        """The path, with the settings written next to it once."""
        path = self._path(settings, key, suffix)
        if not (described := path.parents[1] / SETTINGS).is_file():
            text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False)
            write_text(described, text + "\n")
        return path


def _settings_of_rows(metric: PairMetric) -> dict[str, Any]:
    """With the metric's name, as two metrics without options have equal settings."""
    return {"metric": type(metric).__name__, "settings": metric.settings}
