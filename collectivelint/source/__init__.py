"""Source files: which ones, how they are read and parsed, and the comments that speak to the linter."""
