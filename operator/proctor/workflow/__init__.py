"""Durable graphs of agents, tools and people. Pure."""
