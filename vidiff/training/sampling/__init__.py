"""``vidiff sample``: the prompts, and the folder of the sampled videos."""
