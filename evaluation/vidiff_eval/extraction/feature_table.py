"""Features of a set of clips: loaded from the store once, or taken from tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vidiff.evaluation_report import Row
from vidiff_eval.clips.pairing import pair
from vidiff_eval.extraction.extract import load
from vidiff_eval.extraction.pairs import load_pairs
from vidiff_eval.protocols.protocol import fingerprint

if TYPE_CHECKING:
    from vidiff_eval.clips.clip import ClipSet
    from vidiff_eval.extraction.store import Store
    from vidiff_eval.features.base import Features, Found
    from vidiff_eval.metrics.base import PairMetric


class FeatureTable(ABC):
    """Features of the clips of one set, in the order of the clips.

    Attributes:
        prompts: of each clip; empty ones where there are none.
        order: places of the clips in the order in which sets are compared.
    """

    prompts: Sequence[str]
    order: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompts)

    @abstractmethod
    def of(self, features: Features) -> Found:
        """The tensors of ``features``, by name (n, …)."""

    def pair(self, real: FeatureTable) -> tuple[list[int], list[int]]:
        """Places of the real clips, and of those here, of which each is the other's partner."""
        raise NotImplementedError("tensors have no names to be paired by")

    def rows_of_pairs(self, metric: PairMetric, real: FeatureTable) -> list[Row]:
        """The row of each clip and its real partner."""
        raise NotImplementedError("tensors have no names to be paired by")

    def chunks(self, features: Features, size: int) -> Iterator[tuple[Found, Sequence[str]]]:
        """The features of some clips at a time, with their prompts."""
        for start in range(0, len(self), size):
            some = slice(start, start + size)
            yield self.part(features, some), self.prompts[some]

    def part(self, features: Features, some: slice) -> Found:
        """The features of some clips."""
        return {name: value[some] for name, value in self.of(features).items()}


class StoredTable(FeatureTable):
    """Features of files, in the store; they are loaded when they are first needed.

    Args:
        clips: the set.
        store: has the features of all clips.
        as_given: whether the set is compared in the order of ``clips``, else in one that depends
            only on their contents, as some distances draw parts of the sets.
    """

    def __init__(self, clips: ClipSet, store: Store, *, as_given: bool = False) -> None:
        self.clips, self.store = clips, store
        self.prompts = [clip.video.prompt for clip in clips.clips]
        self.order = range(len(clips))
        if not as_given:
            self.order = sorted(self.order, key=lambda place: clips.clips[place].key)
        self._found: dict[str, Found] = {}

    def of(self, features: Features) -> Found:
        key = fingerprint(features.settings)
        if key not in self._found:
            self._found[key] = load(self.clips, features, self.store)
        return self._found[key]

    def part(self, features: Features, some: slice) -> Found:
        if fingerprint(features.settings) in self._found:
            return super().part(features, some)
        return load(self.clips.clips[some], features, self.store)  # never the whole set at once

    def forget(self) -> None:
        """Free what was loaded."""
        self._found.clear()

    def pair(self, real: FeatureTable) -> tuple[list[int], list[int]]:
        assert isinstance(real, StoredTable)
        places = [{clip.id: i for i, clip in enumerate(side.clips.clips)} for side in (real, self)]
        pairs = pair(real.clips, self.clips)
        return [places[0][other.id] for _, other in pairs], [places[1][one.id] for one, _ in pairs]

    def rows_of_pairs(self, metric: PairMetric, real: FeatureTable) -> list[Row]:
        assert isinstance(real, StoredTable)
        return load_pairs(metric, real.clips, self.clips, self.store)


class TensorTable(FeatureTable):
    """Features of clips that are tensors, which have no partners.

    Args:
        prompts: of each clip.
        found: by the fingerprint of the features' settings.
    """

    def __init__(self, prompts: Sequence[str], found: Mapping[str, Found]) -> None:
        self.prompts, self.found = prompts, found
        self.order = range(len(prompts))

    def of(self, features: Features) -> Found:
        return self.found[fingerprint(features.settings)]
