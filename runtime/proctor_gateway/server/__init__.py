"""The three listeners: callers, agents, and the installation's own."""
