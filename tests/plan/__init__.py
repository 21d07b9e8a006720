"""Planning: pure functions, tables and golden manifests."""
