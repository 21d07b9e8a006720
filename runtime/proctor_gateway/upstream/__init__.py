"""The other sides of a call: agent pods, models, MCP servers."""
