"""The abstract domain: what is known of a value, and the order and joins of it."""
