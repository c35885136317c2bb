"""From the reports of rules to the findings of a run: anchored, suppressed, compared with a baseline, in order."""
