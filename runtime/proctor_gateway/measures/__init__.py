"""How do agents stand, by their objectives and budgets?"""
