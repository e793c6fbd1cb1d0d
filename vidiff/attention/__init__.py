"""Which tokens see which (kind ``attention``)."""

from vidiff.attention.attend import attend
from vidiff.attention.base import Attention, MakeAttention
from vidiff.attention.full import Full

__all__ = ["Attention", "Full", "MakeAttention", "attend"]
