"""How much each time's error counts (kind ``loss_weight``)."""

from vidiff.diffusion.loss_weights.base import LossWeight, MakeLossWeight
from vidiff.diffusion.loss_weights.constant import Constant
from vidiff.diffusion.loss_weights.likelihood import Likelihood
from vidiff.diffusion.loss_weights.min_snr import MinSNR

__all__ = ["Constant", "Likelihood", "LossWeight", "MakeLossWeight", "MinSNR"]
