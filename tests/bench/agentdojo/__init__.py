"""AgentDojo against the policy engine of the gateway, with a model that obeys every injection."""
