"""Measurements, each with its anchor beside it in the same run. They assert invariants, never times."""
