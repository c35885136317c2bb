"""The MCP server: what an assistant that writes distributed code asks. Needs the extra `collectivelint[mcp]`."""
