"""A model that answers by rules: OpenAI-compatible, deterministic, and broken on request."""
