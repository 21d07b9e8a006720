"""Tests of the gateway: its decisions by tables, the whole of it over real HTTP."""
