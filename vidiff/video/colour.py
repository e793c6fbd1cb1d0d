"""How colours are converted between files and tensors, the same in both directions."""

from __future__ import annotations

from av.video.reformatter import Interpolation

EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
FULL_RANGE, BT709 = 2, 1
