"""Records, the Merkle tree, checkpoints, tiles and their verifier. Pure: what is read and written is the caller's."""
