"""Published autoencoders, as diffusers saves them."""

from vidiff.autoencoders.pretrained.pretrained import Pretrained

__all__ = ["Pretrained"]
