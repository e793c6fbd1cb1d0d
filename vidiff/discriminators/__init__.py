"""Real or reconstructed (kind ``discriminator``)."""

from vidiff.discriminators.base import Discriminator, MakeDiscriminator
from vidiff.discriminators.patch_3d import Patch3D

__all__ = ["Discriminator", "MakeDiscriminator", "Patch3D"]
