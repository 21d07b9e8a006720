"""What Argo CD and Flux make of our kinds."""
