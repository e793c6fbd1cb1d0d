"""Step 2: every config is parsed, built and counted before any run is started."""
