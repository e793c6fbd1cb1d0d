"""``vidiff encode``: the autoencoder and frozen conditions, once over a dataset."""
