"""The demo's systems."""
