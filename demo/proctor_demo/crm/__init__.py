"""A CRM of invented people behind MCP: read tools over a SQLite file."""
