"""The tracer: what every rank of a real job called, on which group, in which order."""
