"""A run as one self-contained page: the verdict, lanes of all ranks, who waits for whom, merged stacks, tables."""
