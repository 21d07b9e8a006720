"""proctor: a Kubernetes operator that makes AI agents first-class, governed assets."""
