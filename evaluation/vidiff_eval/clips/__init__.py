"""The clips of an evaluation: listed, chosen, paired, transformed."""
