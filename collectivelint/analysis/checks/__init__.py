"""Questions about finished facts: which collectives some ranks skip, which files ranks race for, which handles are never waited for."""
