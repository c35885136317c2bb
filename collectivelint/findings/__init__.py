"""Turns the reports of rules into the findings of a run: anchored, filtered by comments and baselines, and sorted."""
