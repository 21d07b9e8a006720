"""Doing: informers, queue, observe, apply, lease. The only part that touches the cluster."""
