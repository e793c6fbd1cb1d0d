"""Distances between sets of features, and how sure a figure is: pure functions over tensors."""
