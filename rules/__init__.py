"""The rules: one module each, discovered by the linter; `catalog/`: what other libraries' functions do."""
