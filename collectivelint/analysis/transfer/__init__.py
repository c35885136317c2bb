"""Transfer functions: what each expression and statement does to the abstract state."""
