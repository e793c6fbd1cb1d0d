"""What is taken from clips (kind ``features``)."""

from vidiff_eval.features.base import Features, Found
from vidiff_eval.features.clip import CLIP
from vidiff_eval.features.i3d import I3D
from vidiff_eval.features.inception import Inception
from vidiff_eval.features.motion import MotionFeatures
from vidiff_eval.features.pixels import Pixels
from vidiff_eval.features.timm import Timm

__all__ = ["CLIP", "I3D", "Features", "Found", "Inception", "MotionFeatures", "Pixels", "Timm"]
