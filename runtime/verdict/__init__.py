"""Comparing the ranks of a trace: do their calls match, which ranks wait for which, and how that is reported."""
