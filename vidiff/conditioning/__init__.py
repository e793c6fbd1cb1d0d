"""How time and conditions reach the tokens (kind ``conditioning``)."""

from vidiff.conditioning.adaln import AdaLN
from vidiff.conditioning.adaln_single import AdaLNSingle
from vidiff.conditioning.adaln_zero import AdaLNZero
from vidiff.conditioning.base import Block, Conditioning, Context, MakeConditioning, Route
from vidiff.conditioning.cross_attention import CrossAttention
from vidiff.conditioning.in_context import InContext
from vidiff.conditioning.joint import Joint

__all__ = [
    "AdaLN",
    "AdaLNSingle",
    "AdaLNZero",
    "Block",
    "Conditioning",
    "Context",
    "CrossAttention",
    "InContext",
    "Joint",
    "MakeConditioning",
    "Route",
]
