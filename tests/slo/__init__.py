"""Objectives: budgets, burn rates, states."""
