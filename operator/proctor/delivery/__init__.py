"""How a change becomes the stable revision. Pure."""
