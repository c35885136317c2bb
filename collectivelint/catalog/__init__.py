"""What other libraries' functions do, read from `rules/catalog/*.toml`."""
