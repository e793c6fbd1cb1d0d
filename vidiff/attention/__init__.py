"""Which tokens see which (kind ``attention``)."""

from vidiff.attention.base import Attention, MakeAttention
from vidiff.attention.full import Full
from vidiff.attention.functional import attend

__all__ = ["Attention", "Full", "MakeAttention", "attend"]
