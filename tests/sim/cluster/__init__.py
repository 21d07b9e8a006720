"""A simulated Kubernetes: the API server with its rules, the controllers, the kubelet."""
