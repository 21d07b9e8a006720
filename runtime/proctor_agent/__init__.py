"""The default program in an agent pod."""
