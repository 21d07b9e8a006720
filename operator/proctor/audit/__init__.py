"""Records, the Merkle tree, checkpoints and their verifier. Pure."""
