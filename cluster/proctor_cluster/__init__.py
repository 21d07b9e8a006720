"""Finds or makes a Kubernetes for this repository, builds the images and installs proctor into it."""
