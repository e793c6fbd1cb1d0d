"""Small dimensions, and prompts, for conformance checks."""

WIDTH, HEADS, TEXT_DIM, CHANNELS = 24, 4, 16, 4
GRID = (2, 3, 4)
NUM_TOKENS = 24
PROMPTS = ["", "a red square moves left"]
