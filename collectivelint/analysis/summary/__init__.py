"""Summaries of functions, and the fixpoint that computes them bottom-up over the call graph."""
