"""The language server: what an editor shows while a file is written. Needs the extra `collectivelint[lsp]`."""
