"""A payment service behind MCP: refunds that honour an idempotency key, and their ledger."""
