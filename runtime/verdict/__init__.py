"""Comparing the ranks of a trace: whether their calls match, which ranks wait for which, and the report."""
