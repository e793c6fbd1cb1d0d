"""Captioned clips (kind ``dataset``)."""

from vidiff.data.base import MakeDataset, Split, VideoDataset, collate
from vidiff.data.latent_cache import LatentCache
from vidiff.data.moving_shapes import MovingShapes
from vidiff.data.video_folder import VideoFolder

__all__ = [
    "LatentCache",
    "MakeDataset",
    "MovingShapes",
    "Split",
    "VideoDataset",
    "VideoFolder",
    "collate",
]
