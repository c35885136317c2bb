"""The rules: one module each, discovered by the linter; and `catalog/`, what it knows about other people's APIs."""
