"""The version of vidiff."""

__version__ = "0.1.0"
