"""Whether a program honours the contract of an agent pod (docs/agent-contract.md)."""
