"""The data: what a rank records of its calls, the files that it leaves, and how they are read back. Needs no torch."""
