"""What a call does: dispatch to the catalogue's model, the program's summary, or the default transfer function of unmodelled calls."""
