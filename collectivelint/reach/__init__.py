"""Which programs run a function, and on how many ranks, by the calls and references that the files of a tree have."""
