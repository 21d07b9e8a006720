"""What policies mean: merged, checked, decided."""
