"""Step 1: from an ablation file to its cells and their configs."""
