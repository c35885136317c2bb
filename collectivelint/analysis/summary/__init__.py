"""What is kept of a function, and the fixpoint that computes it bottom-up over the call graph."""
