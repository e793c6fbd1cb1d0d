"""CLIP's vectors of frames, and of prompts (Radford et al. 2021)."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidiff.registry import register
from vidiff_eval.features.base import Features, Found

if TYPE_CHECKING:
    from torch import Tensor

    from vidiff_eval.networks.clip import CLIPFolder

log = logging.getLogger(__name__)

VARIABLE = "VIDIFF_CLIP"
"""Names the folder of the CLIP that is used where none is given."""


@register("clip")
class CLIP(Features):
    """CLIP's vector of each frame, from any CLIP in a folder of this machine.

    ``features`` are (b, f, d), as the network gives them: not scaled to length 1. Frames reach it
    as its own processor has it, on tensors. Prompts become vectors by ``embed_text``.

    Args:
        model: a folder in Hugging Face layout (config.json, model.safetensors or pytorch_model.bin,
            preprocessor_config.json and the tokenizer's files) or in open_clip's
            (open_clip_config.json, open_clip_model.safetensors or open_clip_pytorch_model.bin); the
            former is taken where both are there. By default the folder that ``$VIDIFF_CLIP`` names.
    """

    name = "clip"

    def __init__(self, *, model: str | None = None) -> None:
        self.model = model
        self._texts: dict[str, Tensor] = {}

    @property
    def settings(self) -> dict[str, Any]:
        return self.network.settings

    @property
    def network(self) -> CLIPFolder:
        """The network of the folder; features of the same folder share it.

        Raises:
            ValueError: if there is none, or it lacks files; says which.
        """
        given = self.model or os.environ.get(VARIABLE)
        if not given:
            from vidiff_eval.networks.usual_files import usual_file

            raise ValueError(
                f"no CLIP was given: set model, or {VARIABLE}, to a folder that holds one, in "
                "Hugging Face layout or open_clip's; nothing is downloaded, and reports name the "
                f"file by its SHA-256; {usual_file('CLIP')}"
            )
        return open_clip_folder(Path(given).expanduser())

    def extract(self, clips: Tensor) -> Found:
        from vidiff_eval.networks.frames import embed_frames

        network = self.network
        embedded = embed_frames(clips, network.preparation, network.embed_pictures, self.device)
        return {"features": embedded}

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        """Prompts to vectors (n, d), on the CPU and not scaled; d is that of ``features``.

        What is longer than the text part takes is cut, with a warning.
        """
        import torch

        if news := [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._texts]:
            vectors, num_cut = self.network.embed_texts(news, self.device)
            if num_cut:
                log.warning(
                    "%d of %d prompts are longer than this CLIP can read: it sees their "
                    "beginning alone",
                    num_cut,
                    len(news),
                )
            self._texts.update(zip(news, vectors, strict=True))
        return torch.stack([self._texts[prompt] for prompt in prompts])


def open_clip_folder(folder: Path) -> CLIPFolder:
    """The CLIP of a folder, whichever layout it is in.

    Raises:
        ValueError: if there is no such folder, or it lacks files of either layout; says which.
    """
    from vidiff_eval.networks.clip_hf import HuggingFaceCLIP
    from vidiff_eval.networks.clip_open import OpenCLIP

    if not folder.is_dir():
        raise ValueError(f"CLIP {folder} is no folder; give one that holds a CLIP")
    missing = {layout: layout.missing(folder) for layout in (HuggingFaceCLIP, OpenCLIP)}
    for layout, names in missing.items():
        if not names:
            return _opened(layout, folder, _state(layout(folder)))
    lacks = "; ".join(f"for {cls.layout} {', '.join(names)}" for cls, names in missing.items())
    raise ValueError(f"{folder} holds no whole CLIP. It lacks {lacks}")


@functools.lru_cache(maxsize=2)
def _opened(
    layout: type[CLIPFolder], folder: Path, state: tuple[tuple[int, int], ...]
) -> CLIPFolder:
    return layout(folder)


def _state(found: CLIPFolder) -> tuple[tuple[int, int], ...]:
    """What changes when the files do, so that another network is not taken for a known one."""
    seen = [path.stat() for path in found.folder.iterdir()]
    return tuple(sorted((one.st_mtime_ns, one.st_size) for one in seen))
