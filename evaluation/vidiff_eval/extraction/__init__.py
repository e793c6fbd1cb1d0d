"""Features of clips: decoded ahead, extracted on every process, stored, loaded once."""
