"""From what the rules report to what is shown: anchored, suppressed, compared with a baseline, in order."""
