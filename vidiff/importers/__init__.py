"""Importers of published weights: state dicts of other code bases, under vidiff's names."""

from vidiff.importers.base import Importer, with_autoencoder, write_checkpoint
from vidiff.importers.dit import DiTImporter, LatteImporter, SiTImporter
from vidiff.weight_files import read_weights

IMPORTERS: dict[str, type[Importer]] = {
    "dit": DiTImporter, "latte": LatteImporter, "sit": SiTImporter,
}  # fmt: skip
"""By the names that ``vidiff import-weights --from`` takes."""

__all__ = ["IMPORTERS", "DiTImporter", "read_weights", "with_autoencoder", "write_checkpoint"]
