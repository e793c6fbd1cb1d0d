"""How different two videos look (kind ``perceptual``)."""

from vidiff.perceptual.base import MakePerceptual, Perceptual
from vidiff.perceptual.lpips import LPIPS

__all__ = ["LPIPS", "MakePerceptual", "Perceptual"]
