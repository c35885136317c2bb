"""The cache between runs, the files that a change makes stale, and the processes that analyse them."""
