"""How parameters follow their gradients (kind ``optimizer``)."""

from vidiff.optimizers.adamw import AdamW
from vidiff.optimizers.base import MakeOptimizer, OptimizerRecipe
from vidiff.optimizers.muon import Muon
from vidiff.optimizers.muon_adamw import MuonAdamW

__all__ = ["AdamW", "MakeOptimizer", "Muon", "MuonAdamW", "OptimizerRecipe"]
