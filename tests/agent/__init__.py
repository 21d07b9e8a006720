"""The default agent beyond the contract."""
