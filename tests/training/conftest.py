"""Makes the scripts of this folder importable in the folders below."""
