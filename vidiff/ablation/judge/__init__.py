"""Step 4: what the runs gave, and how sure the differences are."""
