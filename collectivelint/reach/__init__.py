"""Which programs run a function, and on how many ranks, derived from calls and references in the files of a tree."""
