"""Protocols: which frames at which rate and size every metric sees, and their presets."""
