"""Distances between sets of features, and how sure a score is: pure functions over tensors."""
