"""A run as one self-contained page: the verdict, lanes of all ranks, the wait-for graph, merged stacks, tables."""
