"""What the gateway asks of Kubernetes, and what it knows of it."""
