"""``vidiff sample``: prompts, and the folder of the sampled videos."""
