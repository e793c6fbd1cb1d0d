"""Video codecs that PyAV has on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from vidiff.doctor.base import Check, Finding, judged
from vidiff.registry import register

CODECS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "H.264": (("h264",), ("libx264",)),
    "VP9": (("vp9", "libvpx-vp9"), ("libvpx-vp9",)),
    "HEVC": (("hevc",), ("libx265",)),
    "AV1": (("libdav1d", "libaom-av1"), ("libsvtav1", "libaom-av1")),
}
"""FFmpeg's decoders and encoders of each; its own decoder of AV1 needs a GPU that has one."""

WRITTEN = ("H.264", "VP9")  # what vidiff writes: mp4 and webm

Mode = Literal["r", "w"]


@register("codecs")
class Codecs(Check):
    """Which codecs can be decoded and encoded."""

    place: ClassVar[int] = 3

    def look(self) -> list[Finding]:
        return judge(_has)


def judge(has: Callable[[str, Mode], bool]) -> list[Finding]:
    """A line for each codec; ``has`` says whether there is a decoder or encoder."""
    findings = []
    for name, (decoders, encoders) in CODECS.items():
        facts = {
            "decode": next((one for one in decoders if has(one, "r")), None),
            "encode": next((one for one in encoders if has(one, "w")), None),
        }
        found = " and ".join(f"{way}d" for way, codec in facts.items() if codec) or "unknown"
        is_needed, step = name in WRITTEN, ""
        if not facts["decode"] or (is_needed and not facts["encode"]):
            loss = "cannot be written" if facts["decode"] else "are left out"
            step = f"files of it {loss}: pip install --force-reinstall --only-binary :all: av"
        findings.append(judged(name, found, step, facts, is_wrong=is_needed))
    return findings


def _has(name: str, mode: Mode) -> bool:
    import av

    try:
        av.codec.Codec(name, mode)
    except ValueError:  # av.codec.codec.UnknownCodecError
        return False
    return True
