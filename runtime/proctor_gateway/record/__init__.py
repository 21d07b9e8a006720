"""The record of decisions: written in the transaction of what it tells of, signed, served, and thrown away in time."""
