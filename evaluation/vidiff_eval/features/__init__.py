"""Networks whose features videos are compared by, and where their weights are found."""
