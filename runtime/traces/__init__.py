"""Traces: what a rank records of its calls, the files it writes, and reading them back. Needs no torch."""
