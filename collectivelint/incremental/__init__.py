"""What is remembered between runs, which files a change makes stale, and the processes that look at them."""
