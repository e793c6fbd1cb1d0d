"""Step 3: the folders of the runs, and the loop that starts what is missing in them."""
