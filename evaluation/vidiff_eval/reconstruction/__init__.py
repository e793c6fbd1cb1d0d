"""Measures of reconstructions that this package adds (kind ``reconstruction_metric``)."""

from vidiff_eval.reconstruction.rfvd import RFVD

__all__ = ["RFVD"]
