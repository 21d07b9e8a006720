"""How often the evidence of upgrades is wrong, and how soon it is right: simulated at length."""
