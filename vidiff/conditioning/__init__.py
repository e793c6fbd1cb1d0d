"""How time and text reach the tokens (kind ``conditioning``)."""

from vidiff.conditioning.adaln_zero import AdaLNZero
from vidiff.conditioning.base import Block, Condition, Conditioning, MakeConditioning
from vidiff.conditioning.cross_attention import CrossAttention
from vidiff.conditioning.in_context import InContext

__all__ = ["AdaLNZero", "Block", "Condition", "Conditioning", "CrossAttention", "InContext"]
__all__ += ["MakeConditioning"]
