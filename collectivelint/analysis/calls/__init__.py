"""What a call does: dispatch to the catalogue's model, the program's summary, or the default for what nobody has modelled."""
