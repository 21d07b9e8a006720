"""The gateway: the data plane and the policy enforcement point."""
