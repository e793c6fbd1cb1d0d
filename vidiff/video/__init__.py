"""Video files to tensors and back, with PyAV.

A clip is asked for by *time*: its k-th frame is the one that a player shows at ``start + k / fps``
seconds. So files of variable frame rate need no special case, and the frame rate is changed by
asking for another one. Pixels are (c, f, h, w) in [-1, 1], RGB.
"""

from vidiff.video.reading import VideoError, VideoInfo, VideoReader, probe, read_clip
from vidiff.video.writing import ENDINGS, contact_sheet, sheet_row, write_frames, write_video

__all__ = [
    "ENDINGS",
    "VideoError",
    "VideoInfo",
    "VideoReader",
    "contact_sheet",
    "probe",
    "read_clip",
    "sheet_row",
    "write_frames",
    "write_video",
]
