"""From features to a report: scores of groups, sanity rows, curves, cautions, comparisons."""
