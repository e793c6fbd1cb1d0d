"""Video files to tensors and back, with PyAV.

At the file's own rate a clip has each frame once, in order. At another rate its k-th frame is the
one that a player shows at ``start + k / fps`` seconds, so that variable frame rates need no special
case. Pixels are (c, f, h, w) in [-1, 1], RGB.
"""

from vidiff.video.probing import VideoInfo, probe
from vidiff.video.reading import VideoError, VideoReader, read_clip
from vidiff.video.timing import READING, Timeline, repeated_share
from vidiff.video.writing import (
    ENDINGS,
    contact_sheet,
    enlarged,
    scale_to,
    sheet_row,
    write_frames,
    write_video,
)

__all__ = [
    "ENDINGS",
    "READING",
    "Timeline",
    "VideoError",
    "VideoInfo",
    "VideoReader",
    "contact_sheet",
    "enlarged",
    "probe",
    "read_clip",
    "repeated_share",
    "scale_to",
    "sheet_row",
    "write_frames",
    "write_video",
]
