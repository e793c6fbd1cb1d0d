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
    that features found; ``….json`` what a metric of pairs found. ``settings.json`` beside them says
    in words what the fingerprint stands for. Files are whole or absent, so processes may share the
    folder, and a call that is cut off loses nothing that it had found. Any of it may be removed.

    Args:
        root: the folder; made when something is put in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def has(self, features: Features, clip_key: str) -> bool:
        """Whether something whole is kept; reads the file's head alone."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path(features, clip_key), framework="pt"):
                return True
        except (FileNotFoundError, SafetensorError):
            return False

    def get(self, features: Features, clip_key: str) -> dict[str, Tensor] | None:
        """What was found of a clip, without the axis of clips; None where nothing whole is kept."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            # Read, not mapped: a system maps only so many files at once.
            return load(self._path(features, clip_key).read_bytes())
        except (FileNotFoundError, SafetensorError):  # a damaged file is found again
            return None

    def put(self, features: Features, clip_key: str, found: dict[str, Tensor]) -> None:
        """Keep what was found of a clip."""
        import torch
        from safetensors.torch import save

        path = self._path(features, clip_key)
        _describe(path, features.settings)
        whole = torch.contiguous_format  # and each for itself: names may share memory
        write_bytes(path, save({k: v.clone(memory_format=whole) for k, v in found.items()}))

    def get_row(self, metric: PairMetric, pair_key: str) -> Row | None:
        """What a metric found of a pair of clips; None where nothing whole is kept."""
        try:
            row = json.loads(self._row_path(metric, pair_key).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return row if isinstance(row, dict) else None

    def put_row(self, metric: PairMetric, pair_key: str, row: Row) -> None:
        """Keep what a metric found of a pair of clips; infinity is kept as it is."""
        path = self._row_path(metric, pair_key)
        _describe(path, _settings_of_rows(metric))
        write_text(path, json.dumps(row))

    def _path(self, features: Features, clip_key: str) -> Path:
        folder = self.root / fingerprint(features.settings) / clip_key[:2]
        return folder / f"{clip_key}.safetensors"

    def _row_path(self, metric: PairMetric, pair_key: str) -> Path:
        folder = self.root / fingerprint(_settings_of_rows(metric)) / pair_key[:2]
        return folder / f"{pair_key}.json"


def _settings_of_rows(metric: PairMetric) -> dict[str, Any]:
    """With the metric's name, as two metrics without options have equal settings."""
    return {"metric": type(metric).__name__, "settings": metric.settings}


def _describe(path: Path, settings: dict[str, Any]) -> None:
    """Say once, beside what is kept, what found it."""
    described = path.parents[1] / SETTINGS
    if not described.is_file():
        text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False)
        write_text(described, text + "\n")
