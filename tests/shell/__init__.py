"""The operator's shell: its structures as pure data, its seams with a simulated cluster behind them."""
