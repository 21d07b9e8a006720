"""Service-level objectives: indicators, budgets, burn rates. Pure."""
