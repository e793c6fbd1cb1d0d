"""Which tokens see which (kind ``attention``)."""

from vidiff.attention.alternating import Alternating, spatial, temporal
from vidiff.attention.base import Attention, MakeAttention
from vidiff.attention.full import Full
from vidiff.attention.functional import Groups, attend, attend_in_groups
from vidiff.attention.late import Late
from vidiff.attention.multi_head import MultiHead, Projections
from vidiff.attention.serial import Serial
from vidiff.attention.split_heads import SplitHeads
from vidiff.attention.windowed import Windowed

__all__ = [
    "Alternating",
    "Attention",
    "Full",
    "Groups",
    "Late",
    "MakeAttention",
    "MultiHead",
    "Projections",
    "Serial",
    "SplitHeads",
    "Windowed",
    "attend",
    "attend_in_groups",
    "spatial",
    "temporal",
]
