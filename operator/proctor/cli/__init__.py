"""kubectl-proctor: what a person asks of proctor at a terminal."""
