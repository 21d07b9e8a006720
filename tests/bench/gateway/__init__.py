"""The gateway's finished path on one core, beside a bare upstream and other gateways in the same run."""
