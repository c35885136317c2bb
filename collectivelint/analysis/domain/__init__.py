"""The abstract domain: the properties of a value, their order and their joins."""
