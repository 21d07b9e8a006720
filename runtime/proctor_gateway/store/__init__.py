"""What must outlive the process: tasks, calls, outcomes, keys, and the last known state of the cluster."""
