"""Which ranks reach which collective, on which group: the analysis that the rules query."""
