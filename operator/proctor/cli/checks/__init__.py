"""What the API server would say of a manifest, said without asking it."""
