"""How does a task go, from its acceptance to its end?"""
