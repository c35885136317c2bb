"""`--check-data`: parameters that do not belong together and results that differ are reported, and correct jobs left alone."""
