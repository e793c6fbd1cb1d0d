"""Networks that look at videos, and where their weights are found; nothing is downloaded."""
